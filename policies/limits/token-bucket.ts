/** Says whether one more request may pass now. */
export interface RateLimiter {
  /** 0 when it may, and it is counted; else the milliseconds until one may. */
  take(): number | Promise<number>
}

export interface TokenBucketOptions {
  /** Tokens that flow in. */
  readonly perSecond: number
  /** Tokens that the bucket holds. Default: one second's worth, at least 1. */
  readonly burst?: number
  /** Milliseconds, monotonic. */
  readonly now?: () => number
}

/**
 * A token bucket, kept as the moment at which it would be full again: the generic cell rate algorithm of ATM networks
 * (ITU-T I.371, annex A). One number instead of a balance, so that no rounding adds up and nothing has to be filled.
 */
export class TokenBucket implements RateLimiter {
  readonly #intervalMs: number
  readonly #burstMs: number
  readonly #now: () => number
  #fullAt = Number.NEGATIVE_INFINITY

  constructor({
    perSecond,
    burst = Math.max(1, perSecond),
    now = () => performance.now(),
  }: TokenBucketOptions) {
    this.#intervalMs = 1000 / perSecond
    this.#burstMs = burst * this.#intervalMs
    this.#now = now
  }

  /** Takes a token and returns 0, or takes none and returns the milliseconds until there is one. */
  take(): number {
    const now = this.#now()
    const waitMs = this.#waitMs(now)
    if (waitMs === 0) this.#fullAt = this.#fullAtWithOneLess(now)
    return waitMs
  }

  /** What `take` would return now; none is taken. */
  outlook(): number {
    return this.#waitMs(this.#now())
  }

  #waitMs(now: number): number {
    const waitMs = this.#fullAtWithOneLess(now) - now - this.#burstMs
    // A waiter that comes back after just that time may be off by a rounding of the clock.
    return waitMs > 1e-6 ? waitMs : 0
  }

  #fullAtWithOneLess(now: number): number {
    return Math.max(this.#fullAt, now) + this.#intervalMs
  }
}
