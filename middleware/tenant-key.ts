import type { Context, MiddlewareHandler } from 'hono'
import { RouterError } from '../http/errors.ts'
import type { Incoming } from '../http/incoming.ts'
import type { Tenant } from '../http/tenant.ts'
import { bareKeyHeaders, credentials, keyCheck, keyFault } from './api-key.ts'
import type { GatewayEnv } from './gateway-env.ts'
import type { Holder, KeyRing } from './key-ring.ts'

/** Says whom a JSON Web Token names. */
export interface TokenVerifier {
  /**
   * @returns what the token's claim says
   * @throws RouterError `invalid_api_key`, `expired_api_key`; `jwks_unreachable` where it cannot be told
   */
  verify(token: string): Promise<string>
}

export interface TenantKeyOptions {
  readonly ring: Pick<KeyRing, 'holderOf' | 'named' | 'takesCertificates' | 'ofCertificate'>
  /** Keys that let in clients who are no tenant. Default: none. */
  readonly keys?: readonly string[]
  /** Where it is there, a tenant may be named by a token, too. */
  readonly tokens?: TokenVerifier | undefined
  /** Milliseconds since 1970. */
  readonly now?: () => number
  /** Told whose key, certificate or token was presented that has expired. */
  readonly onExpired?: (c: Context<GatewayEnv>, tenant: Tenant) => void
  /** Compares digests of `keys` in constant time. */
  readonly isSame?: (a: Buffer, b: Buffer) => boolean
}

const scheme = 'bearer '
const howTo = 'Send it as "Authorization: Bearer <key>" or as "x-api-key: <key>".'

/**
 * Lets in only clients that present the key of a tenant, or another one that is known, as `Authorization: Bearer <key>`,
 * as `x-api-key: <key>` or as `api-key: <key>`; or a token, or a certificate that names a tenant. The first that is valid
 * counts, in this order: who shows a certificate could as well leave out a key that is none. The tenant is
 * `c.get('tenant')` from then on.
 *
 * Of each key that is presented, the same is done whatever comes of it: one look-up among the tenants (`KeyRing` says why
 * that tells nothing), one comparison with each of the other keys.
 *
 * @throws RouterError `invalid_api_key`; `expired_api_key`; `forbidden` for a token that names no tenant; those of
 * `tokens`. No text holds a key.
 */
export function tenantKey({
  ring,
  keys = [],
  tokens,
  now = Date.now,
  onExpired,
  isSame,
}: TenantKeyOptions): MiddlewareHandler<GatewayEnv> {
  const isPlainKey = keys.length === 0 ? () => false : keyCheck(keys, isSame)

  return function tenantKey(c, next) {
    const { incoming } = c.env
    const bearer = credentials(incoming, scheme)
    let missing = true
    let expired: Holder | undefined
    for (let at = -1; at < bareKeyHeaders.length; at++) {
      const key = at === -1 ? bearer : incoming.header(bareKeyHeaders[at]!)
      if (key === undefined) continue
      missing = false
      const holder = ring.holderOf(key)
      const isPlain = isPlainKey(key)
      if (holder !== undefined && isValid(holder)) return admit(c, holder, next)
      if (isPlain) return next()
      expired ??= holder
    }
    if (tokens !== undefined && bearer?.startsWith(beginning)) return byToken(c, bearer, tokens, next)
    const certified = byCertificate(incoming)
    if (isHolder(certified) && isValid(certified)) return admit(c, certified, next)
    if (expired !== undefined) throw overdue(c, expired)
    if (isHolder(certified)) throw overdue(c, certified, 'client certificate')
    throw keyFault('API key', missing, certified === undefined ? howTo : `${howTo} ${certified}`)
  }

  /** Whom the certificate names, or why it names nobody; undefined where none counts, or none is shown. */
  function byCertificate({
    clientCertificate,
  }: Pick<Incoming, 'clientCertificate'>): Holder | string | undefined {
    if (!ring.takesCertificates || clientCertificate === undefined) return undefined
    const found = ring.ofCertificate(clientCertificate)
    if (isHolder(found)) return found
    return `The client certificate shown names ${found ?? 'no'} tenant${found === undefined ? '' : 's'}.`
  }

  function isValid({ expiresAt }: Holder): boolean {
    return expiresAt === Number.POSITIVE_INFINITY || now() < expiresAt
  }

  function admit(c: Context<GatewayEnv>, { tenant }: Holder, next: () => Promise<void>): Promise<void> {
    c.set('tenant', tenant)
    return next()
  }

  function overdue(c: Context<GatewayEnv>, { tenant, expiresAt }: Holder, what = 'API key'): RouterError {
    onExpired?.(c, tenant)
    const message = `The ${what} presented has expired: it was valid until ${new Date(expiresAt).toISOString()}.`
    return new RouterError('expired_api_key', message)
  }

  async function byToken(
    c: Context<GatewayEnv>,
    token: string,
    verifier: TokenVerifier,
    next: () => Promise<void>,
  ): Promise<void> {
    let holder: Holder | undefined
    let fault: RouterError | undefined
    try {
      holder = ring.named(await verifier.verify(token))
    } catch (error) {
      // Whose it is cannot be told now: it may be somebody else's than the certificate.
      if (!(error instanceof RouterError) || error.code === 'jwks_unreachable') throw error
      fault = error
    }
    if (holder !== undefined && isValid(holder)) return admit(c, holder, next)
    const certified = byCertificate(c.env.incoming)
    if (isHolder(certified) && isValid(certified)) return admit(c, certified, next)
    throw fault ?? (holder === undefined ? stranger() : overdue(c, holder, 'token'))
  }
}

function stranger(): RouterError {
  return new RouterError('forbidden', 'The token presented is valid, but whom it names may not ask here.')
}

function isHolder(found: Holder | string | undefined): found is Holder {
  return typeof found === 'object'
}

/** `{"` in base64url: so does the header of every token begin. */
const beginning = 'eyJ'
