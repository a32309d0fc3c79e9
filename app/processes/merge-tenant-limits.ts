import type { LimitState, TenantLimitsView, TenantView } from '../operations/router-control.ts'

/**
 * What several processes know of the limits that they share: what is used up is what the one says that knows of the most;
 * requests in flight are added up.
 */
export function mergeTenantLimits(all: readonly TenantLimitsView[]): TenantLimitsView {
  const stores = all.flatMap(({ store }) => (store === null ? [] : [store]))
  const tenants = new Map<string, TenantView>()
  for (const tenant of all.flatMap((view) => view.tenants)) {
    const before = tenants.get(tenant.tenant)
    tenants.set(tenant.tenant, before === undefined ? tenant : merged(before, tenant))
  }
  const [store] = stores
  return {
    store: store === undefined ? null : { ...store, up: stores.every(({ up }) => up) },
    tenants: [...tenants.values()],
  }
}

function merged(a: TenantView, b: TenantView): TenantView {
  return {
    tenant: a.tenant,
    requests: fuller(a.requests, b.requests),
    prompt_tokens: fuller(a.prompt_tokens, b.prompt_tokens),
    completion_tokens: fuller(a.completion_tokens, b.completion_tokens),
    requests_in_flight: {
      limit: a.requests_in_flight.limit,
      used: a.requests_in_flight.used + b.requests_in_flight.used,
    },
  }
}

function fuller(a: LimitState | null, b: LimitState | null): LimitState | null {
  if (a === null || b === null) return a ?? b
  return a.used >= b.used ? a : b
}
