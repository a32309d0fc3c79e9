import type { BreakerView, RecentView, WorkerState } from '../workers/worker-state.ts'

/** From good to bad; the worst view that any process has of a worker is the one that counts. */
const healths: readonly WorkerState['health'][] = ['healthy', 'starting', 'unhealthy']
const breakers: readonly BreakerView['state'][] = ['disabled', 'closed', 'half_open', 'open']

/** The workers as several processes see them, each once, in the order of the first process that knows it. */
export function mergeWorkers(views: readonly (readonly WorkerState[])[]): readonly WorkerState[] {
  const byUrl = new Map<string, WorkerState[]>()
  for (const state of views.flat()) {
    const known = byUrl.get(state.url)
    if (known === undefined) byUrl.set(state.url, [state])
    else known.push(state)
  }
  return [...byUrl.values()].map(mergeWorker)
}

/** One worker as several processes see it; at least one. */
export function mergeWorker(views: readonly WorkerState[]): WorkerState {
  const [first] = views
  if (first === undefined) throw new TypeError('no view of the worker')
  const sick = worst(views, ({ health }) => healths.indexOf(health))
  const available = views.find((view) => view.available)
  const shunned = views.find(({ last_choice }) => last_choice !== null) ?? first
  return {
    ...first,
    // One process that can use it is enough for a request to be served.
    available: available !== undefined,
    unavailable_reason: (available ?? first).unavailable_reason,
    health: sick.health,
    health_reason: sick.health_reason,
    last_choice: shunned.last_choice,
    busy_until: shunned.busy_until,
    in_flight: views.reduce((sum, { in_flight }) => sum + in_flight, 0),
    draining: views.some(({ draining }) => draining),
    breaker: worst(views, ({ breaker }) => breakers.indexOf(breaker.state)).breaker,
    last_error: latest(views.map(({ last_error }) => last_error)),
    models: mergeModels(views),
    load: latest(views.map(({ load }) => load)),
    recent: mergeRecent(views.map(({ recent }) => recent)),
    waiting: {
      requests: views.reduce((sum, { waiting }) => sum + waiting.requests, 0),
      quiet_seconds: Math.max(...views.map(({ waiting }) => waiting.quiet_seconds)),
    },
  }
}

export function worstHealth(a: WorkerState['health'], b: WorkerState['health']): WorkerState['health'] {
  return healths.indexOf(a) >= healths.indexOf(b) ? a : b
}

function worst(views: readonly WorkerState[], rank: (view: WorkerState) => number): WorkerState {
  return views.reduce((bad, view) => (rank(view) > rank(bad) ? view : bad))
}

function latest<T extends { readonly at: string }>(all: readonly (T | null)[]): T | null {
  return all.reduce((last, one) => (last === null || (one !== null && one.at > last.at) ? one : last), null)
}

function mergeModels(views: readonly WorkerState[]): readonly string[] | null {
  const lists = views.flatMap(({ models }) => (models === null ? [] : [models]))
  return lists.length === 0 ? null : [...new Set(lists.flat())]
}

/** Of the times to first token, those of the process that has seen the slowest. */
function mergeRecent(views: readonly RecentView[]): RecentView {
  const sum = (count: 'attempts' | 'retries' | 'failures' | 'refusals' | 'completion_tokens') =>
    views.reduce((all, view) => all + view[count], 0)
  const times = views.flatMap(({ first_token_ms }) => first_token_ms ?? [])
  return {
    seconds: views[0]?.seconds ?? 0,
    attempts: sum('attempts'),
    retries: sum('retries'),
    failures: sum('failures'),
    refusals: sum('refusals'),
    completion_tokens: sum('completion_tokens'),
    first_token_ms: times.reduce<RecentView['first_token_ms']>(
      (slow, one) => (slow === null || one.p95 > slow.p95 ? one : slow),
      null,
    ),
  }
}
