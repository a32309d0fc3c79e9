import type { Registry } from 'prom-client'
import { BoundCounter } from './bound-counter.ts'

/** What tenants use. Their names are from the configuration, and models are those that workers list: see `createMetrics`. */
export function usageMetrics(registry: Registry) {
  const counter = <const L extends readonly string[]>(name: string, help: string, ...labelNames: L) =>
    new BoundCounter({ registry, name: `vllm_router_usage_${name}`, help, labelNames })
  return {
    usageRequests: counter(
      'requests_total',
      'Requests that were sent to a worker and have ended, by tenant; empty: without a tenant.',
      'tenant',
      'model',
    ),
    usageTokens: counter('tokens_total', 'The tokens of tokens_total, by tenant.', 'tenant', 'model', 'kind'),
    usageUnmetered: counter(
      'unmetered_requests_total',
      'Of usage_requests_total, those of which the worker told no usage.',
      'tenant',
      'model',
    ),
    usageWorkerSeconds: counter(
      'worker_seconds_total',
      'Time of workers, each moment divided by the requests on the worker, by tenant.',
      'tenant',
      'model',
    ),
    usageWriteErrors: counter(
      'write_errors_total',
      'Times that usage could not be written; it is kept in memory until it can be.',
    ),
  }
}
