import type { RequestView } from '../request/request-view.ts'
import { pause, Refreshing, troubleText } from './live/refreshing.ts'
import type { Asked } from './operate.ts'
import type { RunningRouter } from './running-router.ts'
import { Columns } from './text-table.ts'
import type { OwnFlags } from './verbs.ts'
import { requestColumns, requestRow } from './views.ts'

/** Milliseconds between two questions. */
const everyMs = 1000
/** Milliseconds by which two questions overlap, so that nothing falls between them. */
const overlapMs = 2000
/** As many as the router remembers. */
const most = '1000'

/** Where the router tells of its requests, those that the flags want. */
export function requestPath(own: OwnFlags, more: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams()
  for (const name of ['worker', 'model', 'tenant', 'status', 'failed', 'limit'] as const)
    if (own[name] !== undefined) query.set(name, own[name])
  if (own['slower-than-ms'] !== undefined) query.set('slower_than_ms', own['slower-than-ms'])
  for (const [name, value] of Object.entries(more)) query.set(name, value)
  return `/debug/requests?${query}`
}

/** Prints the last requests, then each one as it ends, until `stop`; goes on when the router was away. */
export async function followRequests(router: RunningRouter, asked: Asked): Promise<number> {
  const { own, out, err, stop = new AbortController().signal } = asked
  const columns = new Columns(requestColumns)
  const seen = new Seen()
  const first = await router.ask<{ requests: RequestView[] }>('GET', requestPath(own))
  if (own.json === undefined) out(columns.table([]))
  const print = (views: readonly RequestView[]): void => {
    const ended = views.filter((view) => view.phases.end !== undefined && seen.isNew(view)).toReversed()
    if (ended.length === 0) return
    out(
      own.json === undefined
        ? columns.lines(ended.map(requestRow))
        : ended.map((view) => `${JSON.stringify(view)}\n`).join(''),
    )
  }
  print(first.requests)

  let askedAt = performance.now()
  const news = new Refreshing(async () => {
    const now = performance.now()
    const withinMs = Math.ceil(now - askedAt) + overlapMs
    const path = requestPath(own, { ended_within_ms: String(withinMs), limit: most })
    const { requests } = await router.ask<{ requests: RequestView[] }>('GET', path)
    askedAt = now
    return requests
  })
  let away = false
  while (!stop.aborted) {
    await pause(everyMs, stop)
    if (stop.aborted) break
    await news.refresh()
    const { value = [], trouble } = news.known
    if (trouble === undefined) print(value)
    if (away !== (trouble !== undefined)) {
      away = trouble !== undefined
      err(trouble === undefined ? 'the router answers again\n' : `${troubleText(trouble, new Date())}\n`)
    }
  }
  return 0
}

/** Milliseconds by which the start of one request may differ from one answer to the next: it is computed anew each time. */
const sameStartMs = 1000

/** Which requests have been printed. Clients may use an id again: how long it took, and about when, belong to it. */
class Seen {
  readonly #startedAt = new Map<string, number>()

  isNew({ request_id, route, at, phases }: RequestView): boolean {
    const key = JSON.stringify([request_id, route, phases])
    const startedAt = Date.parse(at)
    const before = this.#startedAt.get(key)
    if (before !== undefined && Math.abs(startedAt - before) <= sameStartMs) return false
    this.#startedAt.set(key, startedAt)
    // The oldest ones are not told again.
    if (this.#startedAt.size > 10_000) this.#startedAt.delete(this.#startedAt.keys().next().value!)
    return true
  }
}
