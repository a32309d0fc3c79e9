import type { RequestRecord } from '../request/request-record.ts'
import { type RequestFilter, type RequestView, viewOf } from '../request/request-view.ts'

/** Requests that are remembered after their end. */
const most = 1000
/** Requests that are told of where nobody says how many. */
export const usualLimit = 50

/** The last requests, for the question why one went where it went: a ring of what their records hold anyway. */
export class RecentRequests {
  readonly #ring: RequestRecord[] = []
  #next = 0
  readonly #now: () => number
  readonly #open: () => Iterable<RequestRecord>

  /** @param open those that have not ended */
  constructor(now: () => number, open: () => Iterable<RequestRecord>) {
    this.#now = now
    this.#open = open
  }

  add(record: RequestRecord): void {
    this.#ring[this.#next] = record
    this.#next = (this.#next + 1) % most
  }

  /** Those that are wanted, the newest first. Probes of the router itself are not among them. */
  list(filter: RequestFilter): RequestView[] {
    const now = this.#now()
    const views: RequestView[] = []
    for (const record of [...this.#open(), ...this.#ring].toSorted((a, b) => b.startedAt - a.startedAt)) {
      if (views.length >= (filter.limit ?? usualLimit)) break
      if (isWanted(record, filter, now)) views.push(viewOf(record, now))
    }
    return views
  }
}

function isWanted(record: RequestRecord, filter: RequestFilter, now: number): boolean {
  const { worker, model, tenant, status, failed } = filter
  const { slower_than_ms: slowerThan, ended_within_ms: endedWithin } = filter
  if (record.attempts === 0 && record.errorCode === undefined) return false
  if (worker !== undefined && !wasAsked(record, worker)) return false
  if (model !== undefined && record.model !== model) return false
  if (tenant !== undefined && record.tenant !== tenant) return false
  if (status !== undefined && record.status !== status) return false
  if (slowerThan !== undefined && (record.endedAt ?? now) - record.startedAt <= slowerThan) return false
  if (endedWithin !== undefined && !(record.endedAt !== undefined && now - record.endedAt <= endedWithin))
    return false
  return failed !== true || isFailed(record)
}

function wasAsked({ workerId, workerUrl, failures }: RequestRecord, worker: string): boolean {
  return (
    workerId === worker ||
    workerUrl === worker ||
    failures.some((one) => one.workerId === worker || one.worker === worker)
  )
}

function isFailed({ endReason, status }: RequestRecord): boolean {
  return endReason !== undefined && (endReason !== 'completed' || status >= 400)
}
