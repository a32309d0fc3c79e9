import type { Tenant, TenantLimits } from '../../http/tenant.ts'
import type { Amounts, LimitsStore } from './limits-store.ts'
import { SharedAccount } from './shared-account.ts'
import { type Reservation, TenantAccount, type TenantRefusal } from './tenant-account.ts'

export interface TenantLimiterOptions {
  /** Milliseconds, monotonic; `after` calls once, and returns what takes that back. */
  readonly clock: {
    now(): number
    after(ms: number, fire: () => void): () => void
  }
  /** Where processes or routers agree. Undefined: the limits are those of this process. */
  readonly store?: LimitsStore | undefined
  /** A request waits for the store. */
  readonly onWait?: () => void
}

const tickMs = 1000
/** Accounts from which on those without anything to remember are looked for. */
const firstSweep = 64
const nothing = (): void => {}

/** What all tenants have used up of their limits. */
export class TenantLimiter {
  readonly #options: TenantLimiterOptions
  readonly #accounts = new Map<string, TenantAccount>()
  readonly #active = new Set<SharedAccount>()
  readonly #now: () => number
  #named: ReadonlySet<string> = new Set()
  #sweepAt = firstSweep
  #cancelTick: (() => void) | undefined

  constructor(options: TenantLimiterOptions) {
    this.#options = options
    this.#now = () => options.clock.now()
  }

  /**
   * What the tenant's limits say to one more request: a promise only where the store has to be asked.
   * @param asked one request, and the tokens that it is taken for
   */
  take(tenant: Tenant, asked: Amounts): Reservation | TenantRefusal | Promise<Reservation | TenantRefusal> {
    return this.#opened(tenant).take(asked)
  }

  /** What `take` would say now; nothing is taken. */
  outlook(tenant: Tenant, asked: Amounts): TenantRefusal | undefined {
    const account = this.#accounts.get(tenant.name)
    if (account === undefined) return undefined
    account.tenant = tenant
    return account.outlook(asked)
  }

  /** One that has used something lately. */
  tenantNamed(name: string): Tenant | undefined {
    return this.#accounts.get(name)?.tenant
  }

  /** Of all tenants that have used something lately. */
  get accounts(): readonly TenantAccount[] {
    return [...this.#accounts.values()]
  }

  /** What the tenant has used up; nothing, as long as it has not asked for anything. */
  accountOf(tenant: Tenant): TenantAccount {
    return this.#accounts.get(tenant.name) ?? new TenantAccount(tenant, this.#now)
  }

  /**
   * The configuration names these tenants from now on: their limits act at once. What those have used up that it names no
   * longer is forgotten; those that it has never named stay.
   */
  follow(tenants: readonly Tenant[]): void {
    const gone = this.#named
    this.#named = new Set(tenants.map(({ name }) => name))
    for (const tenant of tenants) {
      const account = this.#accounts.get(tenant.name)
      if (account !== undefined) account.tenant = tenant
    }
    for (const name of gone) if (!this.#named.has(name)) this.#forget(name)
  }

  /** Resolves when the store has what was not used, or is not there. */
  async close(): Promise<void> {
    this.#cancelTick?.()
    const shared = [...this.#active]
    this.#active.clear()
    await Promise.all(shared.map((account) => account.close()))
  }

  #forget(name: string): void {
    const account = this.#accounts.get(name)
    this.#accounts.delete(name)
    if (!(account instanceof SharedAccount)) return
    this.#active.delete(account)
    void account.close()
  }

  #opened(tenant: Tenant): TenantAccount {
    const known = this.#accounts.get(tenant.name)
    if (known !== undefined) {
      known.tenant = tenant
      return known
    }
    if (this.#accounts.size >= this.#sweepAt) this.#sweep()
    const account = this.#newAccount(tenant)
    this.#accounts.set(tenant.name, account)
    return account
  }

  #newAccount(tenant: Tenant): TenantAccount {
    const { store, clock, onWait = nothing } = this.#options
    if (store === undefined) return new TenantAccount(tenant, this.#now)
    return new SharedAccount(tenant, { store, clock, onWait, onActive: this.#onActive })
  }

  readonly #onActive = (account: SharedAccount): void => {
    this.#active.add(account)
    this.#cancelTick ??= this.#options.clock.after(tickMs, this.#tick)
  }

  readonly #tick = (): void => {
    for (const account of this.#active) {
      account.tick()
      if (!account.isActive) this.#active.delete(account)
    }
    this.#cancelTick = this.#active.size > 0 ? this.#options.clock.after(tickMs, this.#tick) : undefined
  }

  #sweep(): void {
    for (const [name, account] of this.#accounts) if (account.isIdle) this.#accounts.delete(name)
    this.#sweepAt = Math.max(firstSweep, this.#accounts.size * 2)
  }
}

/** Whether there is anything to be counted for that tenant. */
export function isLimited(limits: TenantLimits): boolean {
  return (
    limits.requestsPerMinute !== undefined ||
    limits.promptTokensPerMinute !== undefined ||
    limits.completionTokensPerMinute !== undefined ||
    limits.requestsInFlight !== undefined
  )
}
