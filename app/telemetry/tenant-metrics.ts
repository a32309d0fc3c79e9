import type { Aggregator, Gauge } from 'prom-client'
import type { BoundCounter } from './bound-counter.ts'

/** What makes a metric on the registry of `createMetrics`. */
export interface MetricMakers {
  counter<const L extends readonly string[]>(name: string, help: string, ...labelNames: L): BoundCounter<L>
  gauge<L extends string>(aggregator: Aggregator, name: string, help: string, ...labelNames: L[]): Gauge<L>
}

/** The metrics of tenants and of their limits. Tenants are those that the configuration names. */
export function tenantMetrics({ counter, gauge }: MetricMakers) {
  return {
    tenantRequests: counter(
      'tenant_requests_total',
      'Finished client requests by tenant and outcome: success, client_error, client_closed, failure.',
      'tenant',
      'outcome',
    ),
    tenantLimited: counter(
      'tenant_limited_total',
      'Requests that were turned away since a limit of their tenant was used up.',
      'tenant',
      'limit',
    ),
    limitsStoreUp: gauge(
      'min',
      'limits_store_up',
      'Whether the store in which routers share the limits of tenants can be used: 1 or 0.',
      'store',
    ),
    limitsStoreWaits: counter(
      'limits_store_waits_total',
      'Requests that waited until more of the limits of their tenant was granted.',
    ),
  }
}
