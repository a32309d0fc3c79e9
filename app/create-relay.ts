import { RetryBudget } from '../policies/resilience/retry-budget.ts'
import type { Clock } from './clock.ts'
import type { Config } from './config/settings.ts'
import type { HttpOptions } from './http.ts'
import type { HttpClient } from './runtime/http-client.ts'
import type { Metrics } from './telemetry/metrics.ts'
import type { Observer } from './telemetry/observer.ts'
import type { Pool } from './workers/pool.ts'
import type { Prober } from './workers/prober.ts'

export interface RelayWiring {
  readonly config: Config
  readonly clock: Clock
  readonly random: () => number
  readonly client: HttpClient
  readonly pool: Pool
  readonly prober: Prober
  readonly isStarting: () => boolean
  readonly metrics: Metrics
  readonly observer: Observer
}

/** The relaying of requests as the configuration wants it. */
export function createRelay({
  config,
  clock,
  random,
  client,
  pool,
  prober,
  isStarting,
  metrics,
  observer,
}: RelayWiring): HttpOptions['inference'] {
  return {
    clock,
    metrics,
    workerKey: config.apiKey,
    dropClientKey: config.routerApiKeys.length > 0,
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
      budget: new RetryBudget({
        ratio: config.retryBudgetRatio,
        minimumPerSecond: config.retryBudgetMinPerSec,
        now: () => clock.now(),
      }),
      probeSoon: (worker) => prober.probeSoon(worker),
      isStarting,
      events: observer,
    },
  }
}

function milliseconds(seconds: number | undefined): number {
  return seconds === undefined ? Number.POSITIVE_INFINITY : seconds * 1000
}
