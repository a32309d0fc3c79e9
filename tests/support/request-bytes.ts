/** From a request's parts to its exact bytes. */

import type { RawHeader } from './http-reader.ts'

export interface RawRequestOptions {
  readonly method?: string
  /** Default `/`. */
  readonly path?: string
  /** Sent as given, in that order. `host` and `content-length` are added when missing, `null` leaves one out. */
  readonly headers?: Readonly<Record<string, string | null>> | readonly RawHeader[]
  readonly body?: string | Uint8Array
  /** Sent as JSON, with its content type; the method becomes POST. */
  readonly json?: unknown
  /** Sent instead of everything above. */
  readonly bytes?: string | Uint8Array
}

export function requestBytes(options: RawRequestOptions, host: string): Buffer {
  const { json, path = '/', headers = {} } = options
  const body = json === undefined ? options.body : JSON.stringify(json)
  const method = options.method ?? (json === undefined ? 'GET' : 'POST')
  const given: (readonly [string, string | null])[] = isList(headers) ? [...headers] : Object.entries(headers)
  const names = new Set(given.map(([name]) => name.toLowerCase()))
  const fields = [...given]
  if (!names.has('host')) fields.unshift(['host', host])
  if (json !== undefined && !names.has('content-type')) fields.push(['content-type', 'application/json'])
  const framed = names.has('content-length') || names.has('transfer-encoding')
  if (body !== undefined && !framed) fields.push(['content-length', String(Buffer.byteLength(body))])
  const lines = fields.flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}\r\n`]))
  const head = Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1')
  return body === undefined ? head : Buffer.concat([head, Buffer.from(body as string)])
}

function isList(headers: NonNullable<RawRequestOptions['headers']>): headers is readonly RawHeader[] {
  return Array.isArray(headers)
}
