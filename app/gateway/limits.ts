import { RouterError } from '../../http/errors.ts'
import { type Standing, usualStanding } from '../../http/priority.ts'
import { rateLimited } from '../../middleware/rate-limit.ts'
import { AdmissionQueue } from '../../policies/limits/admission-queue.ts'
import type { Cap } from '../../policies/limits/slots.ts'
import { TokenBucket } from '../../policies/limits/token-bucket.ts'
import type { Config } from '../config/settings.ts'
import { type LimitsView, refusalOf } from '../request/dry-run.ts'
import type { Observer } from '../telemetry/observer.ts'

/** How many requests a router serves at once, and how many a second. */
export interface Limits {
  readonly queue: AdmissionQueue
  /** Undefined: there is no limit. */
  readonly bucket: TokenBucket | undefined
  /** What would become of a request now. Default: of one without a tenant. */
  view(standing?: Standing): LimitsView
  /** Takes over other limits: those that are served or wait stay where they are. */
  reconfigure(config: Config): void
}

/**
 * Makes the admission queue and the rate limit that a configuration asks for. With `--processes`, those of the supervisor
 * hold for all processes together.
 */
export function createLimits(config: Config, observer: Observer, now: () => number): Limits {
  const queue = new AdmissionQueue({
    ...capOf(config),
    queueSize: config.queueSize,
    queueTimeoutMs: config.queueTimeoutSecs * 1000,
    agingMs: config.queueAgingSecs * 1000,
    observe: observer.admission,
  })
  let rate = config.rateLimitTokensPerSecond
  let bucket = bucketOf(rate, now)
  return {
    queue,
    get bucket() {
      return bucket
    },
    view(standing = usualStanding) {
      const waitMs = bucket?.outlook() ?? 0
      const outlook = waitMs > 0 ? rateLimited(waitMs) : queue.outlook(standing)
      const isRefused = outlook instanceof RouterError
      return {
        outcome: isRefused ? 'refused' : outlook,
        refused: isRefused ? refusalOf(outlook) : null,
        in_flight: queue.inFlight,
        max_in_flight: queue.maxConcurrent ?? null,
        kept_for_high: queue.keptForHigh,
        waiting: queue.queueDepth,
        priority: standing.priority,
        queue_size: queue.queueSize,
      }
    },
    reconfigure(next) {
      queue.setCap(capOf(next))
      queue.queueSize = next.queueSize
      queue.agingMs = next.queueAgingSecs * 1000
      queue.queueTimeoutMs = next.queueTimeoutSecs * 1000
      if (next.rateLimitTokensPerSecond === rate) return
      rate = next.rateLimitTokensPerSecond
      bucket = bucketOf(rate, now)
    },
  }
}

function capOf(config: Config): Cap {
  return { maxConcurrent: config.maxConcurrentRequests, keptForHigh: config.slotsForHighPriority }
}

function bucketOf(perSecond: number | undefined, now: () => number): TokenBucket | undefined {
  return perSecond === undefined ? undefined : new TokenBucket({ perSecond, now })
}
