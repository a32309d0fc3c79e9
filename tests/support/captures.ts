/** Answers of a real vLLM, see tests/captures/, and the shapes by which others are compared with them. */

import { readFileSync } from 'node:fs'

export interface Capture {
  readonly method: string
  readonly path: string
  /** The request's body, undefined when it had none. */
  readonly json: Record<string, unknown> | undefined
  /** The same as it was written, for one that is no JSON. */
  readonly body: string | undefined
  readonly status: number
  readonly contentType: string | undefined
  readonly text: string
}

export function readCapture(name: string): Capture {
  const bytes = readFileSync(new URL(`../captures/${name}.txt`, import.meta.url))
  const start = bytes.indexOf('\n----\n')
  const about = bytes.toString('utf8', 0, start)
  const request = /^# request: (\S+) (\S+) ?(\{.*?)?(?: +\(server .*\))?$/m.exec(about)
  if (request === null) throw new Error(`${name}: no request in its second line`)
  const [, method = '', path = '', body] = request
  const raw = bytes.subarray(start + '\n----\n'.length)
  const end = raw.indexOf('\r\n\r\n')
  const head = raw.toString('latin1', 0, end)
  const rest = raw.subarray(end + 4)
  return {
    method,
    path,
    body,
    json: parsed(body),
    status: Number(head.split(' ')[1]),
    contentType: /^content-type: (.*)$/im.exec(head)?.[1]?.trim(),
    text: (/^transfer-encoding: chunked/im.test(head) ? dechunked(rest) : rest).toString('utf8'),
  }
}

function parsed(body: string | undefined): Record<string, unknown> | undefined {
  try {
    return body === undefined ? undefined : JSON.parse(body)
  } catch {
    return undefined
  }
}

function dechunked(bytes: Buffer): Buffer {
  const chunks: Buffer[] = []
  for (let at = 0; ; ) {
    const end = bytes.indexOf('\r\n', at)
    const size = end === -1 ? 0 : Number.parseInt(bytes.toString('latin1', at, end), 16)
    if (!(size > 0)) return Buffer.concat(chunks)
    chunks.push(bytes.subarray(end + 2, end + 2 + size))
    at = end + size + 4
  }
}

/** Every field of a JSON value in order, with the kind of what is in it: `choices[].delta.content: string`. */
export function fieldsOf(value: unknown, path = ''): string[] {
  if (Array.isArray(value)) return value.length === 0 ? [`${path}: []`] : fieldsOf(value[0], `${path}[]`)
  if (typeof value !== 'object' || value === null)
    return [`${path}: ${value === null ? 'null' : typeof value}`]
  return Object.entries(value).flatMap(([name, inner]) =>
    fieldsOf(inner, path === '' ? name : `${path}.${name}`),
  )
}

/** The kinds of events of a stream in their order; several alike in a row count as one, as tokens do. */
export function eventsOf(text: string): string[] {
  const kinds = text
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => {
      const lines = event.split('\n').map((line) => {
        const data = /^data: (\{.*)$/.exec(line)?.[1]
        return data === undefined ? line : `data: ${fieldsOf(JSON.parse(data)).join(', ')}`
      })
      return lines.join(' | ')
    })
  return kinds.filter((kind, index) => kind !== kinds[index - 1])
}
