import { LeakyBucket } from './leaky-bucket.ts'
import { type LimitsStore, perMinute, type ShareAnswer, type ShareRequest } from './limits-store.ts'

/** What all processes together have used up of the limits of one tenant. */
class Page {
  readonly buckets = [new LeakyBucket(), new LeakyBucket(), new LeakyBucket()] as const
  /** Requests in flight that each process holds. */
  readonly slots = new Map<number, number>()
}

/** Tenants from which on those without anything to remember are looked for. */
const firstSweep = 64

/**
 * A store in memory: the supervisor's, for its processes. The script in app/limits-store does the same in Redis.
 */
export class LimitsLedger {
  readonly #pages = new Map<string, Page>()
  readonly #now: () => number
  #sweepAt = firstSweep

  /** @param now milliseconds, monotonic */
  constructor(now: () => number) {
    this.#now = now
  }

  /** The store as one of its processes sees it. */
  storeFor(process: number): LimitsStore {
    return { isUp: true, exchange: async (tenant, request) => this.exchange(process, tenant, request) }
  }

  exchange(process: number, tenant: string, request: ShareRequest): ShareAnswer {
    const now = this.#now()
    const page = this.#pageOf(tenant, now)
    const limits = perMinute(request.limits)
    const granted: [number, number, number] = [0, 0, 0]
    const used: [number, number, number] = [0, 0, 0]
    for (const [index, bucket] of page.buckets.entries()) {
      const limit = limits[index] ?? Number.POSITIVE_INFINITY
      if (bucket.perMinute !== limit) bucket.setLimit(limit, now)
      bucket.add(request.charge[index] ?? 0, now)
      const want = request.want[index] ?? 0
      // Whole ones only: a part of a request is of no use to whoever gets it.
      granted[index] = Math.min(want, Math.floor(bucket.left(now) + 1e-6))
      bucket.add(granted[index], now)
      used[index] = bucket.level(now)
    }
    return { granted, used, ...this.#hold(page, process, request) }
  }

  /** The process is gone: its requests are, too. */
  forget(process: number): void {
    for (const { slots } of this.#pages.values()) slots.delete(process)
  }

  #hold(
    { slots }: Page,
    process: number,
    { limits, slots: wanted }: ShareRequest,
  ): Pick<ShareAnswer, 'slots' | 'slotsHeld'> {
    const { requestsInFlight: most = Number.POSITIVE_INFINITY } = limits
    let others = 0
    for (const [holder, held] of slots) if (holder !== process) others += held
    const own = Math.max(0, Math.min(wanted, most - others))
    if (own > 0) slots.set(process, own)
    else slots.delete(process)
    return { slots: own, slotsHeld: others + own }
  }

  #pageOf(tenant: string, now: number): Page {
    const known = this.#pages.get(tenant)
    if (known !== undefined) return known
    if (this.#pages.size >= this.#sweepAt) this.#sweep(now)
    const page = new Page()
    this.#pages.set(tenant, page)
    return page
  }

  #sweep(now: number): void {
    for (const [tenant, { buckets, slots }] of this.#pages)
      if (slots.size === 0 && buckets.every((bucket) => bucket.level(now) === 0)) this.#pages.delete(tenant)
    this.#sweepAt = Math.max(firstSweep, this.#pages.size * 2)
  }
}
