import { isObject, type Json, parseObject } from '../../http/json/json.ts'
import { bufferOver } from './event-scanner.ts'

/** An error in a worker's own words, as a status: its number, or what its words amount to. */
export interface WorkerError {
  readonly status: number
  readonly message: string
}

/** Bytes of an error answer that are read: vLLM's have some hundred, more where they repeat the input. */
const maxReadBytes = 64 * 1024

/**
 * The kinds of errors by their words, the first match counts. OpenAI's and Anthropic's names, vLLM's (those of HTTP and
 * of Python's exceptions) and those of gateways that workers stand behind.
 */
const words: readonly (readonly [RegExp, number])[] = [
  [/rate.?limit|too.?many|overload|queue.?full|unavailable|busy|capacity|exhausted/, 503],
  [/auth|permission|forbidden|api.?key/, 403],
  [/not.?found|does.?not.?exist/, 404],
  [
    /invalid|bad.?request|unprocessable|too.?(?:large|long|big)|length|unsupported|not.?implemented|validation|value.?error|malformed|content.?(?:filter|policy)|moderation|safety/,
    400,
  ],
]

/** The error object of an event or a body as a status; 500 where neither number nor word says otherwise. */
export function workerError(error: Json): WorkerError {
  const number = [error.code, error.status, error.status_code].map(Number).find(isStatus)
  return {
    status: number ?? statusOfWords(error) ?? 500,
    message:
      typeof error.message === 'string' ? error.message : 'the worker reported an error within the stream',
  }
}

function isStatus(code: number): boolean {
  return Number.isInteger(code) && code >= 400 && code < 600
}

/** The code is more precise than the type. */
function statusOfWords({ code, type }: Json): number | undefined {
  for (const word of [code, type]) {
    if (typeof word !== 'string') continue
    const found = words.find(([pattern]) => pattern.test(word.toLowerCase()))
    if (found !== undefined) return found[1]
  }
  return undefined
}

/** What the body of an error answer says by its words, whatever number it bears; undefined where it says nothing. */
export function readWorkerError(body: Uint8Array): WorkerError | undefined {
  if (body.byteLength > maxReadBytes) return undefined
  const json = parseObject(bufferOver(body).toString('utf8'))
  if (json === undefined) return undefined
  const error = isObject(json.error) ? json.error : json
  const status = statusOfWords(error)
  return status === undefined ? undefined : { ...workerError(error), status }
}

/** What Python's executors say once their process shuts down: vLLM answers so while it drains, its /health still 200. */
const shutdown = /^cannot schedule new futures after (?:interpreter )?shutdown$/

/** The worker drains: the answer to any request would be this one. */
export function answersShutdown(body: Uint8Array): boolean {
  const json = body.byteLength > maxReadBytes ? undefined : parseObject(bufferOver(body).toString('utf8'))
  return (
    json !== undefined &&
    saysShutdown({ ...workerError(isObject(json.error) ? json.error : json), status: 500 })
  )
}

export function saysShutdown({ status, message }: WorkerError): boolean {
  return status >= 500 && shutdown.test(message)
}
