import type { RequestRecord } from '../request/request-record.ts'
import type { Metrics } from './metrics.ts'

const outcomes = ['success', 'client_error', 'client_closed', 'failure'] as const

/** In place of a tenant that the configuration does not name: a program's own middleware may have made it up. */
const unnamed = 'other'

/** The requests of each tenant. Only the configuration can make a series. */
export class TenantCounts {
  readonly #metrics: Metrics
  #names: ReadonlySet<string> = new Set()

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  /** From now on there are these: the series of those that are gone go. */
  follow(names: Iterable<string>): void {
    const before = this.#names
    this.#names = new Set(names)
    const { tenantRequests } = this.#metrics
    for (const name of before)
      if (!this.#names.has(name)) for (const outcome of outcomes) tenantRequests.remove(name, outcome)
    // Zero from the start: a rate over a series that does not exist yet misses its first increase.
    for (const name of this.#names) for (const outcome of outcomes) tenantRequests.of(name, outcome)
  }

  /** The name as a label; empty where there is none. */
  label(tenant = ''): string {
    return tenant === '' || this.#names.has(tenant) ? tenant : unnamed
  }

  count(tenant: string, record: RequestRecord): void {
    this.#metrics.tenantRequests.of(this.label(tenant), outcomeOf(record)).inc()
  }
}

function outcomeOf({ endReason, status }: RequestRecord): (typeof outcomes)[number] {
  if (endReason === 'client_closed') return 'client_closed'
  if (status >= 400 && status < 500) return 'client_error'
  return endReason === 'completed' && status < 400 ? 'success' : 'failure'
}
