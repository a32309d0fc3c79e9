import type { JWTVerifyGetKey, JWTVerifyOptions, JWTVerifyResult } from 'jose'
import { RouterError } from '../http/errors.ts'
import type { TokenVerifier } from './tenant-key.ts'

export interface JsonWebTokenOptions {
  /** Where the issuer's public keys are. */
  readonly url: string
  readonly issuer: string
  /** One of which the token must be meant for. */
  readonly audience: readonly string[]
  /** Claim that names the tenant. */
  readonly claim: string
  /** Told when the keys cannot be had any more, and when they can be had again. */
  readonly onReachable?: (reachable: boolean, reason: string | undefined) => void
  readonly times?: Partial<typeof usualTimes>
  /** Milliseconds, from any beginning. */
  readonly now?: () => number
}

/** All in milliseconds. */
const usualTimes = {
  /** Keys older than this are read again, behind the request that finds them so. */
  refreshAfter: 300_000,
  /** A token with an unknown key makes the keys be read again, no sooner than this after the last time. */
  cooldown: 10_000,
  /** The same after a failure. */
  pause: 5000,
  /** For an answer. */
  timeout: 5000,
}

/** Seconds by which the clocks of issuer and router may differ. */
const clockTolerance = 30

/** Signatures that only the issuer can make: with a shared secret, or none at all, everybody could. */
const algorithms = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
]

type Jose = typeof import('jose')

/**
 * Verifies tokens with the keys that their issuer publishes (RFC 7515, RFC 7517, RFC 7519). The keys are kept: while they
 * cannot be read again, tokens of known keys are taken as before, and of tokens with other keys nothing is known.
 *
 * The library is loaded by `warm`, or with the first token.
 */
export class JsonWebTokens implements TokenVerifier {
  readonly #options: JsonWebTokenOptions
  readonly #checks: JWTVerifyOptions
  #loaded: Promise<{ readonly jose: Jose; readonly keys: RemoteKeys }> | undefined

  constructor(options: JsonWebTokenOptions) {
    const { issuer, audience, claim } = options
    this.#options = options
    this.#checks = {
      ...{ issuer, audience: [...audience], algorithms, clockTolerance },
      requiredClaims: [...new Set(['exp', claim])],
    }
  }

  /** Has the keys read before the first token comes. Where that fails, `onReachable` is told. */
  warm(): void {
    void this.#parts().then(({ keys }) => keys.read().catch(() => {}))
  }

  async verify(token: string): Promise<string> {
    const { jose, keys } = await this.#parts()
    let verified: JWTVerifyResult
    try {
      verified = await jose.jwtVerify(token, keys.keyOf, this.#checks)
    } catch (error) {
      throw this.#fault(jose, error)
    }
    const named: unknown = verified.payload[this.#options.claim]
    if (typeof named === 'string') return named
    throw invalid(`its claim "${this.#options.claim}" is no text`)
  }

  #parts() {
    this.#loaded ??= import('jose').then((jose) => ({ jose, keys: new RemoteKeys(jose, this.#options) }))
    return this.#loaded
  }

  /** What a claim should have been is told to those only whose token is genuine: its signature is checked first. */
  #fault({ errors }: Jose, error: unknown): RouterError {
    if (error instanceof RouterError) return error
    if (error instanceof errors.JWTExpired)
      return new RouterError('expired_api_key', 'The token presented has expired.')
    if (error instanceof errors.JWTClaimValidationFailed)
      return invalid(
        `its claim "${error.claim}" is ${error.reason === 'missing' ? 'missing' : 'not the right one'}`,
      )
    return invalid()
  }
}

function invalid(why?: string): RouterError {
  return new RouterError(
    'invalid_api_key',
    `The token presented is not valid here${why === undefined ? '' : `: ${why}`}.`,
  )
}

/** The issuer's keys as they were read last. */
class RemoteKeys {
  readonly #set: ReturnType<Jose['createRemoteJWKSet']>
  readonly #errors: Jose['errors']
  readonly #times: typeof usualTimes
  readonly #onReachable: JsonWebTokenOptions['onReachable']
  readonly #now: () => number
  #readAt = Number.NEGATIVE_INFINITY
  #failedAt = Number.NEGATIVE_INFINITY
  #reachable = true

  constructor(jose: Jose, { url, onReachable, times, now = () => performance.now() }: JsonWebTokenOptions) {
    this.#times = { ...usualTimes, ...times }
    this.#now = now
    // They are never too old to be used: when they are read again is decided here.
    const { timeout: timeoutDuration } = this.#times
    this.#set = jose.createRemoteJWKSet(new URL(url), {
      ...{
        timeoutDuration,
        cooldownDuration: Number.POSITIVE_INFINITY,
        cacheMaxAge: Number.POSITIVE_INFINITY,
      },
    })
    this.#errors = jose.errors
    this.#onReachable = onReachable
  }

  readonly keyOf: JWTVerifyGetKey = async (header, token) => {
    const now = this.#now()
    if (this.#set.jwks() === undefined) await this.read()
    else if (now - this.#readAt > this.#times.refreshAfter) void this.read().catch(() => {})
    try {
      return await this.#set(header, token)
    } catch (error) {
      if (!(error instanceof this.#errors.JWKSNoMatchingKey)) throw error
      if (now - this.#readAt < this.#times.cooldown) throw error
    }
    await this.read()
    return this.#set(header, token)
  }

  /** @throws RouterError `jwks_unreachable` */
  async read(): Promise<void> {
    if (this.#now() - this.#failedAt < this.#times.pause) throw unreachable()
    try {
      await this.#set.reload()
      this.#readAt = this.#now()
      this.#failedAt = Number.NEGATIVE_INFINITY
      this.#tell(true)
    } catch (error) {
      this.#failedAt = this.#now()
      this.#tell(false, error instanceof Error ? error.message : String(error))
      throw unreachable()
    }
  }

  #tell(reachable: boolean, reason?: string): void {
    if (reachable === this.#reachable) return
    this.#reachable = reachable
    this.#onReachable?.(reachable, reason)
  }
}

function unreachable(): RouterError {
  const message = 'Whether the token is valid cannot be told: the keys of its issuer cannot be read now.'
  return new RouterError('jwks_unreachable', message, { retryAfter: 5 })
}
