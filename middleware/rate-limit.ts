import type { MiddlewareHandler } from 'hono'
import { RouterError } from '../http/errors.ts'
import type { RateLimiter } from '../policies/limits/token-bucket.ts'
import type { GatewayEnv } from './gateway-env.ts'

export interface RateLimitOptions {
  readonly limiter: RateLimiter
  /** Told of each request that is turned away, so that the edge can count it. */
  readonly onLimited?: () => void
}

/**
 * Turns away requests beyond a rate. `Retry-After` is the time after which there is room for one request again.
 *
 * @throws RouterError `rate_limited`
 */
export function rateLimit({ limiter, onLimited }: RateLimitOptions): MiddlewareHandler<GatewayEnv> {
  function goOn(waitMs: number, next: () => Promise<void>): Promise<void> {
    if (waitMs === 0) return next()
    onLimited?.()
    throw rateLimited(waitMs)
  }

  return function rateLimit(_, next) {
    const answer = limiter.take()
    // Awaited only where the answer comes from elsewhere: the usual case costs no turn of the event loop.
    return typeof answer === 'number' ? goOn(answer, next) : answer.then((waitMs) => goOn(waitMs, next))
  }
}

/** @param waitMs milliseconds until one more may pass */
export function rateLimited(waitMs: number): RouterError {
  return new RouterError('rate_limited', 'The router is at its limit of requests per second.', {
    retryAfter: Math.max(1, Math.ceil(waitMs / 1000)),
  })
}
