import { hash, timingSafeEqual } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { RouterError } from '../http/errors.ts'
import type { Incoming } from '../http/incoming.ts'
import type { GatewayEnv } from './gateway-env.ts'

export interface ApiKeyOptions {
  /** The keys that are let in; at least one. */
  readonly keys: readonly string[]
  /** Scheme of the `Authorization` header. Default `Bearer`. */
  readonly scheme?: string
  /** Headers that may carry the bare key, lower case. Default: `x-api-key`, `api-key`. */
  readonly headers?: readonly string[]
  /** What the error text calls the key: `API key` (default), or `admin key` for the admin routes. */
  readonly what?: string
}

/** Beside `Authorization`: `x-api-key` of Anthropic's clients, `api-key` of Azure's. */
export const bareKeyHeaders: readonly string[] = ['x-api-key', 'api-key']

/**
 * Lets in only clients that present one of the keys, as `Authorization: Bearer <key>`, as `x-api-key: <key>` or as
 * `api-key: <key>`.
 *
 * Hashes are compared in constant time, and all of them, so that the time taken tells nothing about a key.
 *
 * @throws RouterError `invalid_api_key`; the text never holds a key.
 */
export function apiKey({
  keys,
  scheme = 'Bearer',
  headers = bareKeyHeaders,
  what = 'API key',
}: ApiKeyOptions): MiddlewareHandler<GatewayEnv> {
  if (keys.length === 0 || keys.includes('')) throw new TypeError(`${what}: an empty key would let nobody in`)
  const accepted = keyCheck(keys)
  const prefix = `${scheme.toLowerCase()} `
  const howTo = `Send it as "Authorization: ${scheme} <key>" or as "${headers[0]}: <key>".`

  return function apiKey(c, next) {
    const authorization = credentials(c.env.incoming, prefix)
    if (accepted(authorization)) return next()
    let missing = authorization === undefined
    for (const header of headers) {
      const bare = c.env.incoming.header(header)
      if (accepted(bare)) return next()
      if (bare !== undefined) missing = false
    }
    throw keyFault(what, missing, howTo)
  }
}

/** @param missing none was presented */
export function keyFault(what: string, missing: boolean, howTo: string): RouterError {
  const fault = missing ? `This route needs an ${what}.` : `The ${what} presented is not valid here.`
  return new RouterError('invalid_api_key', `${fault} ${howTo}`)
}

/**
 * Says whether something is one of the keys. Hashes are compared in constant time, and all of them.
 * @param isSame compares two digests in constant time
 */
export function keyCheck(
  keys: readonly string[],
  isSame: (a: Buffer, b: Buffer) => boolean = timingSafeEqual,
): (candidate: string | undefined) => boolean {
  const digests = keys.map(digest)
  return (candidate) => {
    if (candidate === undefined) return false
    const presented = digest(candidate)
    let found = false
    for (const known of digests) if (isSame(known, presented)) found = true
    return found
  }
}

function digest(key: string): Buffer {
  return hash('sha256', key, 'buffer')
}

/**
 * What follows the scheme in `Authorization`; RFC 9110 11.1: the scheme is case-insensitive.
 * @param prefix the scheme in lower case, and a blank
 */
export function credentials(incoming: Incoming, prefix: string): string | undefined {
  const value = incoming.header('authorization')
  if (value === undefined || value.slice(0, prefix.length).toLowerCase() !== prefix) return undefined
  return value.slice(prefix.length).trim()
}
