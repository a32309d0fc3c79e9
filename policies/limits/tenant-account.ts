import type { Tenant, TenantLimits } from '../../http/tenant.ts'
import { LeakyBucket } from './leaky-bucket.ts'
import { type Amounts, perMinute } from './limits-store.ts'

/** The limits per minute, in the order of `Amounts`. */
export const minuteLimits = ['requests', 'prompt_tokens', 'completion_tokens'] as const
export const limitNames = [...minuteLimits, 'requests_in_flight'] as const
export type LimitName = (typeof limitNames)[number]

/** Of the requests that ended last: how much the newest one counts. */
const newest = 0.1
/** Milliseconds that a request is taken for before any has ended. */
const firstDurationMs = 1000
/** Longest wait in milliseconds that is told to whoever has too many requests in flight: it is an estimate. */
const longestTurnMs = 60_000

/** Why a request of a tenant may not go on, and until when. */
export class TenantRefusal {
  readonly account: TenantAccount
  readonly limit: LimitName
  /** Of that limit. */
  readonly figure: number
  /** What the request is taken for. */
  readonly needs: number
  /** Milliseconds. After that it goes on, unless other requests of the tenant were there before. */
  readonly waitMs: number

  constructor(account: TenantAccount, limit: LimitName, figure: number, needs: number, waitMs: number) {
    this.account = account
    this.limit = limit
    this.figure = figure
    this.needs = needs
    this.waitMs = waitMs
  }
}

/** What a request that goes on has taken from the limits of its tenant, until it is known what it has really used. */
export class Reservation {
  readonly account: TenantAccount
  readonly amounts: Amounts
  readonly since: number
  #settled = false

  constructor(account: TenantAccount, amounts: Amounts, since: number) {
    this.account = account
    this.amounts = amounts
    this.since = since
  }

  /** The request is over, and has used so much. The first call counts. */
  settle(used: Amounts): void {
    if (this.#settled) return
    this.#settled = true
    this.account.settle(this, used)
  }
}

/** What a tenant has used up of its limits, as far as this process knows by itself. */
export class TenantAccount {
  readonly name: string
  protected readonly buckets = [new LeakyBucket(), new LeakyBucket(), new LeakyBucket()] as const
  readonly now: () => number
  protected mostInFlight = Number.POSITIVE_INFINITY
  #inFlight = 0
  #meanMs = firstDurationMs
  #tenant: Tenant

  /** @param now milliseconds, monotonic */
  constructor(tenant: Tenant, now: () => number) {
    this.name = tenant.name
    this.now = now
    this.#tenant = tenant
    this.#adopt(tenant)
  }

  get limits(): TenantLimits {
    return this.#tenant.limits
  }

  get tenant(): Tenant {
    return this.#tenant
  }

  /** A configuration was read anew: other limits hold from now on, and what was used stays used. */
  set tenant(tenant: Tenant) {
    if (tenant === this.#tenant) return
    this.#tenant = tenant
    this.#adopt(tenant)
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Of all processes together; what is not known of others is not in it. */
  get inFlightOfAll(): number {
    return this.#inFlight
  }

  /** Nothing would be lost with it. */
  get isIdle(): boolean {
    const now = this.now()
    return this.#inFlight === 0 && this.buckets.every((bucket) => bucket.level(now) === 0)
  }

  /**
   * Takes it from all limits, or from none. An amount above the whole limit, which is only an estimate, takes the whole
   * limit: nobody is to be refused for ever.
   */
  take(asked: Amounts): Reservation | TenantRefusal | Promise<Reservation | TenantRefusal> {
    const amounts = this.capped(asked)
    const now = this.now()
    return this.refusal(amounts, now) ?? this.reserve(amounts, now)
  }

  /** What `take` would say now. */
  outlook(asked: Amounts): TenantRefusal | undefined {
    return this.refusal(this.capped(asked), this.now())
  }

  /**
   * What was taken too much is as if it had never been taken; what was used beyond it counts from now on. Returns what
   * that changes of each amount.
   */
  settle({ amounts, since }: Reservation, used: Amounts): Amounts {
    const now = this.now()
    const changes: [number, number, number] = [0, 0, 0]
    this.#inFlight--
    this.#meanMs += (now - since - this.#meanMs) * newest
    for (let index = 0; index < 3; index++) {
      const more = used[index]! - amounts[index]!
      if (more > 0) this.buckets[index]!.add(more, now)
      else if (more < 0) this.buckets[index]!.takeBack(-more, since, now)
      changes[index] = more
    }
    return changes
  }

  /** Used up of that limit per minute. */
  used(index: number, now: number = this.now()): number {
    return this.buckets[index]!.level(now)
  }

  limit(index: number): number {
    return this.buckets[index]!.perMinute
  }

  protected capped(asked: Amounts): Amounts {
    const [requests, prompt, completion] = this.buckets
    return [
      Math.min(asked[0], requests.perMinute),
      Math.min(asked[1], prompt.perMinute),
      Math.min(asked[2], completion.perMinute),
    ]
  }

  /** By what this process knows itself. The limit that makes it wait longest is named. */
  protected refusal(amounts: Amounts, now: number): TenantRefusal | undefined {
    let longest = -1
    let waitMs = 0
    for (let index = 0; index < 3; index++) {
      const wait = this.buckets[index]!.waitMs(amounts[index]!, now)
      if (wait <= waitMs) continue
      longest = index
      waitMs = wait
    }
    if (longest >= 0) return this.refused(longest, amounts[longest]!, waitMs)
    return this.#inFlight < this.mostInFlight ? undefined : this.refusedTurn()
  }

  protected refused(index: number, needs: number, waitMs: number): TenantRefusal {
    return new TenantRefusal(this, minuteLimits[index]!, this.buckets[index]!.perMinute, needs, waitMs)
  }

  /** Requests end as fast as they have ended until now: the next one after this time, on average. */
  protected refusedTurn(): TenantRefusal {
    const waitMs = Math.min(longestTurnMs, this.#meanMs / Math.max(1, this.#inFlight))
    return new TenantRefusal(this, 'requests_in_flight', this.mostInFlight, 1, waitMs)
  }

  protected reserve(amounts: Amounts, now: number): Reservation {
    this.#inFlight++
    for (let index = 0; index < 3; index++) this.buckets[index]!.add(amounts[index]!, now)
    return new Reservation(this, amounts, now)
  }

  #adopt({ limits }: Tenant): void {
    const now = this.now()
    const figures = perMinute(limits)
    for (const [index, bucket] of this.buckets.entries()) bucket.setLimit(figures[index]!, now)
    this.mostInFlight = limits.requestsInFlight ?? Number.POSITIVE_INFINITY
  }
}
