import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'

export interface TenantObserverOptions {
  readonly metrics: Metrics
  readonly log: Log
}

/** What the limits of tenants report becomes metrics and log lines here. */
export class TenantObserver {
  readonly #metrics: Metrics
  readonly #log: Log

  constructor({ metrics, log }: TenantObserverOptions) {
    this.#metrics = metrics
    this.#log = log
  }

  limited(tenant: string, limit: string): void {
    this.#metrics.rejected.of('tenant_rate_limited').inc()
    this.#metrics.tenantLimited.of(tenant, limit).inc()
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
