import { AdmissionQueue } from '../../policies/limits/admission-queue.ts'
import { TokenBucket } from '../../policies/limits/token-bucket.ts'
import type { Config } from '../config/settings.ts'
import type { Observer } from '../telemetry/observer.ts'

/** How many requests a router serves at once, and how many a second. */
export interface Limits {
  readonly queue: AdmissionQueue
  /** Undefined: there is no limit. */
  readonly bucket: TokenBucket | undefined
}

/** The limits as the configuration wants them: of one process, or of all processes together. */
export function createLimits(config: Config, observer: Observer, now: () => number): Limits {
  const perSecond = config.rateLimitTokensPerSecond
  return {
    queue: new AdmissionQueue({
      maxConcurrent: config.maxConcurrentRequests,
      queueSize: config.queueSize,
      queueTimeoutMs: config.queueTimeoutSecs * 1000,
      observe: observer.admission,
    }),
    bucket: perSecond === undefined ? undefined : new TokenBucket({ perSecond, now }),
  }
}
