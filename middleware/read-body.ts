import type { MiddlewareHandler } from 'hono'
import type { HeldBytes } from '../http/held-bytes.ts'
import { headerOf, type Incoming } from '../http/incoming.ts'
import { payloadTooLarge } from '../http/request-body.ts'
import type { GatewayEnv } from './gateway-env.ts'

export interface ReadBodyOptions {
  /** Bytes; exactly so many are accepted. Default 64 MiB. Each request in flight may hold this much memory. */
  readonly limit?: number
  /** Bounds what all requests hold together, from the first byte to the end of the response. Default: no bound. */
  readonly held?: HeldBytes
  /** Milliseconds without a byte after which an upload is given up. Default 60 s. */
  readonly silenceMs?: number
}

const usuallyEmpty: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS'])

/**
 * Reads the whole body once, as bytes, into `c.get('body')`: routing looks at it, and a second attempt sends it again.
 * A GET, HEAD, DELETE or OPTIONS that announces no body gets none.
 *
 * @throws RouterError `payload_too_large`, by the declared length before a byte is read; `buffers_full`, by the bytes
 * that have come; `upload_timeout`, where none come any more; `client_closed`.
 */
export function readBody({
  limit = 64 * 1024 * 1024,
  held,
  silenceMs,
}: ReadBodyOptions = {}): MiddlewareHandler<GatewayEnv> {
  return function readBody(c, next) {
    const { incoming } = c.env
    const declared = headerOf(incoming.headers, 'content-length')
    if (declared !== undefined && Number(declared) > limit) throw payloadTooLarge(limit, Number(declared))
    if (usuallyEmpty.has(c.req.method) && !announced(incoming, declared)) return next()
    const part = held?.open()
    if (part !== undefined) c.get('onEnd')(() => part.close())
    return incoming.body(limit, { held: part, silenceMs }).then((body) => {
      c.set('body', body)
      return next()
    })
  }
}

/** RFC 9112 6: a request has a body exactly when one of these two headers is there. */
function announced(incoming: Incoming, contentLength: string | undefined): boolean {
  return (
    (contentLength !== undefined && contentLength !== '0') ||
    headerOf(incoming.headers, 'transfer-encoding') !== undefined
  )
}
