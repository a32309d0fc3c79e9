import { Breaker, type BreakerOptions } from '../policies/resilience/breaker.ts'
import type { Config } from './config/settings.ts'

export type Transition = Parameters<NonNullable<BreakerOptions['onTransition']>>

export interface BreakerWiring {
  readonly config: Config
  readonly now: () => number
  readonly random: () => number
  readonly onTransition: (url: string, ...transition: Transition) => void
}

/** The breaker of one worker as the configuration wants it. */
export function createBreaker(
  url: string,
  { config, now, random, onTransition }: BreakerWiring,
): Breaker | undefined {
  if (config.disableCircuitBreaker) return undefined
  return new Breaker({
    failureThreshold: config.cbFailureThreshold,
    successThreshold: config.cbSuccessThreshold,
    openMs: config.cbTimeoutDurationSecs * 1000,
    failureRate: config.cbFailureRateThreshold,
    minimumRequests: config.cbMinimumRequests,
    windowMs: config.cbWindowDurationSecs * 1000,
    now,
    random,
    onTransition: (...transition) => onTransition(url, ...transition),
  })
}
