import { limitNames } from '../../policies/limits/tenant-account.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { TenantCounts } from './tenant-counts.ts'

export interface TenantObserverOptions {
  readonly metrics: Metrics
  readonly log: Log
  /** Of their requests. */
  readonly counts: TenantCounts
}

/** What the limits of tenants report becomes metrics and log lines here. */
export class TenantObserver {
  readonly #metrics: Metrics
  readonly #log: Log
  readonly #counts: TenantCounts
  #names: readonly string[] = []

  constructor({ metrics, log, counts }: TenantObserverOptions) {
    this.#counts = counts
    this.#metrics = metrics
    this.#log = log
  }

  /** From now on there are these tenants, with these limits: the series of those that are gone go. */
  follow(tenants: ReadonlyMap<string, readonly string[]>): void {
    const { tenantLimited } = this.#metrics
    for (const name of this.#names) {
      if (tenants.has(name)) continue
      for (const limit of limitNames) tenantLimited.remove(name, limit)
    }
    this.#names = [...tenants.keys()]
    // Zero from the start: a rate over a series that does not exist yet misses its first increase.
    for (const [name, limits] of tenants) for (const limit of limits) tenantLimited.of(name, limit)
  }

  limited(tenant: string, limit: string): void {
    this.#metrics.rejected.of('tenant_rate_limited').inc()
    this.#metrics.tenantLimited.of(this.#counts.label(tenant), limit).inc()
  }

  /**
   * @param store its address, without user and password
   * @param reason why it cannot be used
   */
  storeChanged(store: string, isUp: boolean, reason: string): void {
    this.#metrics.limitsStoreUp.set({ store }, isUp ? 1 : 0)
    if (isUp) this.#log.info({ store }, 'limits store in use')
    else this.#log.warn({ store, reason }, 'limits store gone: each process keeps the limits by itself')
  }

  /** A request waits for the store. */
  storeAwaited(): void {
    this.#metrics.limitsStoreWaits.of().inc()
  }
}
