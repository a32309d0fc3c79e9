import type { RetryBudget } from '../../policies/resilience/retry-budget.ts'
import type { HttpOptions } from '../api/api.ts'
import { asksForKeys } from '../config/key-entries.ts'
import type { Config } from '../config/settings.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Observer } from '../telemetry/observer.ts'
import type { Fleet } from './fleet.ts'

export interface RelayWiring {
  readonly config: Config
  readonly clock: Clock
  readonly random: () => number
  readonly fleet: Fleet
  readonly metrics: Metrics
  readonly observer: Observer
  readonly budget: RetryBudget
}

/** The options of the relay and of its route, from the settings; their seconds become milliseconds. */
export function relayOptions(wiring: RelayWiring): HttpOptions['inference'] {
  const { config, clock, random, fleet, metrics, observer, budget } = wiring
  const { client, pool, prober } = fleet
  return {
    clock,
    metrics,
    workerKey: config.apiKey,
    enginePriority: config.enginePriority,
    dropClientKey: asksForKeys(config) && !config.passClientKeys,
    holdCommentAfterMs: milliseconds(config.holdCommentAfterSecs || undefined),
    keepAliveMs: milliseconds(config.sseKeepaliveSecs),
    relay: {
      pool,
      exchange: {
        client,
        clock,
        firstTokenMs: milliseconds(config.firstTokenTimeoutSecs),
        idleMs: milliseconds(config.streamIdleTimeoutSecs),
        maxHoldBytes: config.maxHoldBytes,
        maxEventBytes: config.maxEventBytes,
        pulse: (worker) => prober.pulse(worker),
      },
      retry: {
        maxAttempts: config.disableRetries ? 1 : config.retryMaxRetries,
        initialBackoffMs: config.retryInitialBackoffMs,
        maxBackoffMs: config.retryMaxBackoffMs,
        multiplier: config.retryBackoffMultiplier,
        jitter: config.retryJitterFactor,
        random,
      },
      budget,
      probeSoon: (worker) => prober.probeSoon(worker),
      isStarting: fleet.isStarting,
      events: observer,
    },
  }
}

function milliseconds(seconds: number | undefined): number {
  return seconds === undefined ? Number.POSITIVE_INFINITY : seconds * 1000
}
