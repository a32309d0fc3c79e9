import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
import type { Context, MiddlewareHandler } from 'hono'
import { RouterError } from '../http/errors.ts'
import type { HeldBytes } from '../http/held-bytes.ts'
import { headerOf } from '../http/incoming.ts'
import { payloadTooLarge, RequestBody } from '../http/request-body.ts'
import type { GatewayEnv } from './gateway-env.ts'

export interface DecodeBodyOptions {
  /** Bytes that a body may have once it is decoded; exactly so many are accepted. Default 64 MiB. */
  readonly limit?: number
  /** Bounds what all requests hold together. Default: no bound. */
  readonly held?: HeldBytes
}

type Decoder = (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>

/** RFC 9110, section 8.4.1, and RFC 8878. The work is done off the event loop. */
const decoders: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ['gzip', promisify(gunzip)],
  ['x-gzip', promisify(gunzip)],
  ['deflate', promisify(inflate)],
  ['br', promisify(brotliDecompress)],
  ['zstd', promisify(zstdDecompress)],
])

const known = 'gzip, deflate, br, zstd'

/**
 * Decodes a compressed body: vLLM reads none, and routing could not look into it. What is sent on is the decoded body,
 * without `Content-Encoding`. Expects `readBody` before it.
 *
 * @throws RouterError `unsupported_media_type` for an encoding that is not known, or more than one; `payload_too_large`
 * as soon as the decoded bytes exceed the limit; `invalid_request` for bytes that are not what the header says.
 */
export function decodeBody({
  limit = 64 * 1024 * 1024,
  held,
}: DecodeBodyOptions = {}): MiddlewareHandler<GatewayEnv> {
  function hold(bytes: number, c: Context<GatewayEnv>): void {
    if (held === undefined || bytes <= 0) return
    const part = held.open()
    c.get('onEnd')(() => part.close())
    part.add(bytes)
  }

  return function decodeBody(c, next) {
    const encoding = headerOf(c.env.incoming.headers, 'content-encoding')?.trim().toLowerCase()
    const body = c.get('body')
    if (encoding === undefined || encoding === '' || encoding === 'identity') return next()
    const decoder = decoders.get(encoding)
    if (decoder === undefined) throw unknownEncoding()
    if (body === undefined || body.byteLength === 0) return next()
    return decode(body, decoder, limit).then((decoded) => {
      hold(decoded.byteLength - body.byteLength, c)
      c.set('body', decoded)
      c.set('bodyDecoded', true)
      return next()
    })
  }
}

async function decode(body: RequestBody, decoder: Decoder, limit: number): Promise<RequestBody> {
  try {
    return new RequestBody([await decoder(body.bytes(), { maxOutputLength: Math.max(1, limit) })])
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') throw payloadTooLarge(limit)
    throw new RouterError('invalid_request', 'The request body is not what its Content-Encoding says.', {
      cause: error,
    })
  }
}

function unknownEncoding(): RouterError {
  return new RouterError(
    'unsupported_media_type',
    `The request body may be compressed in one of these ways: ${known}. Send another without Content-Encoding.`,
    { acceptEncoding: known },
  )
}
