import type { Admission } from '../../policies/limits/admission-queue.ts'
import type { LimitsStore } from '../../policies/limits/limits-store.ts'
import type { RateLimiter } from '../../policies/limits/token-bucket.ts'
import type { HttpOptions } from '../api/api.ts'
import type { RouterControl } from '../operations/router-control.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Log } from '../telemetry/log.ts'
import type { UsageStore } from '../usage/usage-store.ts'
import type { ReadConfig } from './reloader.ts'

/** What a router may be given instead of the real thing. */
export interface RouterParts {
  readonly log?: Log
  readonly clock?: Clock
  /** Uniform in [0, 1). */
  readonly random?: () => number
  readonly runtime?: Runtime
  /** Reads the configuration anew. Undefined: it cannot be reloaded from here. */
  readonly readConfig?: ReadConfig | undefined
  /** For one of several processes: it shares the API's port and has no operations listener. */
  readonly shared?: SharedParts
}

/** What one of several processes has together with the others; its supervisor keeps it. */
export interface SharedParts {
  /** Undefined: there is no cap. */
  readonly admission: Admission | undefined
  /** Where processes agree on what tenants have used up. */
  readonly limitsStore: LimitsStore
  /** Undefined: there is no limit. */
  readonly limiter: RateLimiter | undefined
  /** What probes and admin routes on the API listener show and do: that of all processes. */
  readonly control: RouterControl
  readonly onOperatorChange: () => void
  /** See `TenantModelsOptions`. */
  readonly madeElsewhere: HttpOptions['madeElsewhere']
  /** Keeps what all processes have counted. */
  readonly usage: UsageStore
}
