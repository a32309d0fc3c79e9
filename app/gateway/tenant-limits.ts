import { randomUUID } from 'node:crypto'
import type { TenantLimits as Limits, Tenant } from '../../http/tenant.ts'
import { type LimitsStore, perMinute } from '../../policies/limits/limits-store.ts'
import { limitNames, minuteLimits, type TenantAccount } from '../../policies/limits/tenant-account.ts'
import { isLimited, TenantLimiter } from '../../policies/limits/tenant-limiter.ts'
import { TokenEstimates } from '../../policies/limits/token-estimates.ts'
import { resetMs } from '../api/limit-fields.ts'
import type { TenantLimitsOptions } from '../api/tenant-limits.ts'
import { storeAddress } from '../config/kinds/store-url.ts'
import type { Config } from '../config/settings.ts'
import { RedisStore } from '../limits-store/redis-store.ts'
import type { LimitState, TenantLimitsView, TenantView } from '../operations/router-control.ts'
import type { Clock } from '../runtime/clock.ts'
import type { TenantObserver } from '../telemetry/tenant-observer.ts'

export interface TenantLimitsWiring {
  readonly config: Config
  readonly clock: Clock
  readonly observer: TenantObserver
  /** That of the supervisor, for one of several processes. */
  readonly shared: LimitsStore | undefined
}

/** The limits of tenants, which outlive a configuration. */
export interface TenantLimits extends TenantLimitsOptions {
  /** The configuration names these from now on; undefined: it has no list. */
  follow(tenants: readonly Tenant[] | undefined): void
  /** One that the configuration names, or that has used something lately. */
  named(name: string): Tenant | undefined
  view(): TenantLimitsView
  /** Gives back to the store what was not used. */
  close(): Promise<void>
}

export async function createTenantLimits(wiring: TenantLimitsWiring): Promise<TenantLimits> {
  const { config, clock, observer, shared } = wiring
  const address = config.limitsStore === undefined ? undefined : shownAddress(config.limitsStore)
  const redis =
    config.limitsStore === undefined || address === undefined
      ? undefined
      : await RedisStore.open({
          ...{ url: config.limitsStore, id: randomUUID(), clock },
          onChange: (isUp, reason) => observer.storeChanged(address, isUp, reason),
        })
  const limiter = new TenantLimiter({
    ...{ clock, store: redis ?? shared },
    onWait: () => observer.storeAwaited(),
  })
  let configured: readonly Tenant[] = []
  return {
    follow(tenants = []) {
      configured = tenants.filter(({ limits }) => isLimited(limits))
      limiter.follow(tenants)
      observer.follow(new Map(tenants.map(({ name, limits }) => [name, limitsIn(limits)])))
    },
    named: (name) => configured.find((tenant) => tenant.name === name) ?? limiter.tenantNamed(name),
    limiter,
    estimates: new TokenEstimates(),
    onLimited: (tenant, limit) => observer.limited(tenant, limit),
    view: () => ({
      store: address === undefined ? null : { address, up: redis?.isUp === true },
      tenants: allAccounts(limiter, configured).map(tenantView),
    }),
    async close() {
      await limiter.close()
      redis?.close()
    },
  }
}

function allAccounts(limiter: TenantLimiter, configured: readonly Tenant[]): readonly TenantAccount[] {
  const names = new Set(configured.map(({ name }) => name))
  const others = limiter.accounts.filter(({ name }) => !names.has(name))
  return [...configured.map((tenant) => limiter.accountOf(tenant)), ...others]
}

/** The names of the limits that there are. */
function limitsIn(limits: Limits): readonly string[] {
  const [requests, prompt, completion] = perMinute(limits)
  const figures = [requests, prompt, completion, limits.requestsInFlight ?? Number.POSITIVE_INFINITY]
  return limitNames.filter((_, index) => figures[index] !== Number.POSITIVE_INFINITY)
}

/** Without user and password: it is shown, and becomes a label. */
function shownAddress(url: string): string {
  const { host, port, db, tls } = storeAddress(url)
  return `${tls ? 'rediss' : 'redis'}://${host.includes(':') ? `[${host}]` : host}:${port}/${db}`
}

function tenantView(account: TenantAccount): TenantView {
  const { requestsInFlight = null } = account.limits
  const [requests, prompt, completion] = minuteLimits.map((_, index) => limitState(account, index))
  return {
    tenant: account.name,
    requests: requests ?? null,
    prompt_tokens: prompt ?? null,
    completion_tokens: completion ?? null,
    requests_in_flight: { limit: requestsInFlight, used: account.inFlight },
  }
}

function limitState(account: TenantAccount, index: number): LimitState | null {
  const limit = account.limit(index)
  if (limit === Number.POSITIVE_INFINITY) return null
  const used = Math.round(account.used(index))
  return {
    ...{ limit, used, remaining: Math.max(0, limit - used) },
    reset_seconds: Math.ceil(resetMs(limit, used) / 1000),
  }
}
