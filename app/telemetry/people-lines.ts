import pretty from 'pino-pretty'
import type { LineBuffer } from './line-buffer.ts'
import type { RequestFields } from './request-log.ts'

/** The log for people: pino's lines made readable, a request in a form of its own that fits the screen. */
export class PeopleLines {
  readonly #buffer: LineBuffer
  readonly #prettify: (line: string) => string

  constructor(buffer: LineBuffer, { colour }: { readonly colour: boolean }) {
    this.#buffer = buffer
    this.#prettify = pretty.prettyFactory({
      colorize: colour,
      translateTime: 'SYS:HH:MM:ss.l',
      singleLine: true,
      ignore: 'pid,hostname',
    }) as (line: string) => string
  }

  /** One of pino's lines. */
  write(line: string): void {
    this.#buffer.write(this.#prettify(line))
  }

  writeRequest(fields: RequestFields): void {
    this.#buffer.write(`[${clockTime(new Date())}] ${requestLine(fields)}\n`)
  }

  get buffer(): LineBuffer {
    return this.#buffer
  }
}

/** `200 1.3s chat stream w=c445 3/20 tok`: status, time, what, whose, where, tokens of prompt and answer; then what was unusual. */
export function requestLine(fields: RequestFields): string {
  const { status, duration_ms: ms, route, path, stream, worker_id: worker, attempts } = fields
  const { prompt_tokens: prompt, completion_tokens: completion, end_reason: end, error, tenant } = fields
  const parts = [
    String(status),
    duration(Number(ms)),
    shortRoute(String(path ?? route)),
    stream === true ? 'stream' : '',
    tenant === undefined ? '' : `t=${tenant}`,
    worker === undefined ? '' : `w=${String(worker).slice(0, 4)}`,
    completion === undefined ? '' : `${prompt}/${completion} tok`,
    Number(attempts) > 1 ? `${attempts} attempts` : '',
    end === 'completed' ? '' : String(end),
    error === undefined ? '' : `"${error}"`,
  ]
  return parts.filter((part) => part !== '').join(' ')
}

function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)}ms` : `${(ms / 1000).toFixed(1)}s`
}

function shortRoute(route: string): string {
  // A path is the client's own: control characters in it would reach the terminal.
  const plain = route.replace(/\p{Cc}|\p{Cf}/gu, '?')
  return plain === '/v1/chat/completions' ? 'chat' : plain.replace(/^\/v1\//, '')
}

function clockTime(now: Date): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const milliseconds = String(now.getMilliseconds()).padStart(3, '0')
  return `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}.${milliseconds}`
}
