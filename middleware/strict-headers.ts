import type { MiddlewareHandler } from 'hono'
import { RouterError } from '../http/errors.ts'
import type { Incoming } from '../http/incoming.ts'
import type { GatewayEnv } from './gateway-env.ts'

export interface StrictHeadersOptions {
  /** Bytes of all names and values together. Default 64 KiB; the runtimes' own limits are usually lower. */
  readonly maxBytes?: number
}

/**
 * Refuses requests whose end or whose host two servers could read differently (request smuggling, RFC 9112 11.2).
 * Node and Bun let several of these through: two Host fields, `Transfer-Encoding: gzip, chunked`.
 *
 * @throws RouterError `invalid_request`; `headers_too_large`.
 */
export function strictHeaders({
  maxBytes = 64 * 1024,
}: StrictHeadersOptions = {}): MiddlewareHandler<GatewayEnv> {
  return function strictHeaders(c, next) {
    check(c.env.incoming.headers, maxBytes)
    return next()
  }
}

/**
 * RFC 3986, section 3.2.2, less the comma, and never empty. Bun makes the URL of a request by writing Host before the
 * path: with an empty one, `/v1/models` would be the path `/models` of a host that is called v1.
 */
const host = /^(?:\[[0-9a-f:.]+\]|[a-z0-9._~!$&'()*+;=%-]+)(?::\d*)?$/i

function check(headers: Incoming['headers'], maxBytes: number): void {
  let bytes = 0
  let hosts = 0
  let lengths = 0
  let encodings = 0
  for (const [name, value] of headers) {
    bytes += name.length + value.length
    // The length of the name tells most others apart without lower-casing each of them.
    if (name.length === 4 && name.toLowerCase() === 'host') {
      // A runtime that merges fields leaves a comma, which no host name has.
      hosts += value.includes(',') ? 2 : 1
      if (hosts === 1 && !host.test(value)) throw ambiguous('Host must be a name or an address')
    } else if (name.length === 14 && name.toLowerCase() === 'content-length') {
      lengths++
      if (!/^\d+$/.test(value)) throw ambiguous('Content-Length must be one whole number')
    } else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') {
      encodings++
      if (value.toLowerCase() !== 'chunked') throw ambiguous('Transfer-Encoding may only be chunked')
    }
  }
  if (bytes > maxBytes) {
    throw new RouterError('headers_too_large', `The request headers may have at most ${maxBytes} bytes.`)
  }
  if (hosts > 1) throw ambiguous('Host must be given once')
  if (lengths > 1) throw ambiguous('Content-Length must be given once')
  if (encodings > 1) throw ambiguous('Transfer-Encoding must be given once')
  if (lengths + encodings > 1) throw ambiguous('Content-Length and Transfer-Encoding exclude each other')
}

function ambiguous(rule: string): RouterError {
  // Where the next request begins is as doubtful as this one: the connection is not used again.
  return new RouterError('invalid_request', `The request headers are ambiguous: ${rule}.`, { close: true })
}
