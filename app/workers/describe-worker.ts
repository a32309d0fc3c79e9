import type { Worker } from './worker.ts'
import type { BreakerView, WorkerState } from './worker-state.ts'

/** The state of a worker as `GET /workers` shows it. */
export function workerState(worker: Worker): WorkerState {
  const { id, url, health, inFlight, draining, lastError, models, modelsLocked, load } = worker
  const unavailable = worker.unavailable(undefined)
  return {
    id,
    url,
    available: unavailable === undefined,
    unavailable_reason: unavailable ?? null,
    health: health.name,
    health_reason: health.name === 'unhealthy' ? health.reason : null,
    last_choice: worker.lastChoice ?? null,
    busy_until: worker.standBack.active ? later(worker.standBack.remainingMs) : null,
    in_flight: inFlight,
    draining,
    weight: worker.weight,
    breaker: breakerView(worker),
    last_error:
      lastError === undefined ? null : { at: lastError.at.toISOString(), message: lastError.message },
    models: models === undefined ? null : [...models],
    models_hidden: modelsLocked ? lockedModels : null,
    load:
      load === undefined
        ? null
        : {
            at: load.at.toISOString(),
            age_seconds: seconds(Date.now() - load.at.getTime()),
            running: load.running ?? null,
            waiting: load.waiting ?? null,
            kv_cache_usage: load.kvCacheUsage ?? null,
          },
    recent: worker.recent.view(),
    waiting: { requests: worker.signs.waiting, quiet_seconds: seconds(worker.quietMs) },
  }
}

/** Why a worker does not list its models, and what to do: shown in `GET /workers` and in the log. */
export const lockedModels =
  'GET /v1/models wants a key: give the router --api-key; until then it learns from answers who serves which model'

function breakerView({ breaker, breakerState: state }: Worker): BreakerView {
  if (breaker === undefined) return { state: 'disabled', reason: null, until: null }
  if (state.name === 'closed') return { state: 'closed', reason: null, until: null }
  const until = state.name === 'open' ? later(breaker.remainingMs) : null
  return { state: state.name, reason: state.reason, until }
}

function seconds(ms: number): number {
  return Math.round(ms / 100) / 10
}

function later(ms: number): string {
  return new Date(Date.now() + ms).toISOString()
}
