import type { WorkerState } from '../workers/worker-state.ts'
import { duration } from './text-table.ts'

/** How a worker is, for a person at a terminal. */
export interface WorkerWords {
  /** One or two words. */
  readonly state: string
  /** The reason, and what is known of its end; empty when all is well. */
  readonly why: string
  /** Order of attention: the lowest first. */
  readonly rank: number
  readonly tone: 'bad' | 'fair' | 'good'
}

/** Share of a worker's attempts of the last minute that must have failed for it to be called failing. */
const failingShare = 0.1
/** As the alert has it: a first token after more than a second, and three times as late as at the median worker. */
const slowMs = 1000
const slowFactor = 3

/** Says of each worker how it is; whether one is slow depends on the others. */
export function describeWorkers(workers: readonly WorkerState[], now: Date): readonly WorkerWords[] {
  const times = workers.flatMap(({ recent }) => recent.first_token_ms?.p95 ?? []).toSorted((a, b) => a - b)
  const median = times[Math.floor((times.length - 1) / 2)] ?? 0
  return workers.map(
    (worker) => out(worker, now) ?? lastChoice(worker, now) ?? unwell(worker, median) ?? well,
  )
}

const well: WorkerWords = { state: 'healthy', why: '', rank: 9, tone: 'good' }

/** It gets nothing. */
function out(worker: WorkerState, now: Date): WorkerWords | undefined {
  const { health, health_reason: reason, breaker, draining, in_flight: inFlight, last_error: error } = worker
  if (health === 'unhealthy')
    return { state: unhealthy(reason ?? ''), why: reason ?? '', rank: 0, tone: 'bad' }
  if (draining) {
    const why = inFlight === 0 ? 'nothing in flight' : `${inFlight} in flight go on`
    return { state: 'draining', why, rank: 6, tone: 'fair' }
  }
  if (health === 'starting')
    return { state: 'starting', why: error?.message ?? 'not asked yet', rank: 5, tone: 'fair' }
  if (breaker.state === 'open' || breaker.state === 'half_open') {
    const until = breaker.until === null ? 'on trial now' : `trial ${inSeconds(breaker.until, now)}`
    return { state: 'breaker open', why: `${breaker.reason ?? ''}; ${until}`, rank: 1, tone: 'bad' }
  }
  if (worker.unavailable_reason === null) return undefined
  return { state: worker.unavailable_reason.replaceAll('_', ' '), why: '', rank: 1, tone: 'bad' }
}

/** A worker that takes connections and does nothing is hung; one that says itself that it is not well is not. */
function unhealthy(reason: string): string {
  if (/no progress|no answer within/.test(reason)) return 'hung'
  return /^E[A-Z]+|TIMEOUT/.test(reason) ? 'down' : 'unhealthy'
}

/** It gets something only where there is no other. */
function lastChoice(worker: WorkerState, now: Date): WorkerWords | undefined {
  const { last_choice: choice, waiting, recent, busy_until: until } = worker
  if (choice === 'no_sign_of_life') {
    const why = `no sign of life for ${Math.round(waiting.quiet_seconds)} s, ${waiting.requests} waiting`
    return { state: 'hung', why, rank: 0, tone: 'bad' }
  }
  if (choice !== 'busy' && until === null && !mostlyRefuses(recent)) return undefined
  const again = until === null ? '' : `; asked again ${inSeconds(until, now)}`
  const why = `refused ${recent.refusals} of ${recent.attempts} in the last minute${again}`
  return { state: 'busy', why, rank: 2, tone: 'fair' }
}

/** It is asked again after each pause, and then refuses again: between the two it is no better. */
function mostlyRefuses({ refusals, attempts }: WorkerState['recent']): boolean {
  return refusals > 0 && refusals * 2 >= attempts
}

function unwell({ recent, last_error: error }: WorkerState, medianMs: number): WorkerWords | undefined {
  const { attempts, failures, first_token_ms: first } = recent
  if (failures > 0 && failures >= attempts * failingShare) {
    const why = `${failures} of ${attempts} failed${error === null ? '' : `; last: ${error.message}`}`
    return { state: 'failing', why, rank: 3, tone: 'bad' }
  }
  if (first === null || first.p95 <= slowMs || first.p95 <= slowFactor * medianMs) return undefined
  const why = `first token p95 ${duration(first.p95)}, at the median worker ${duration(medianMs)}`
  return { state: 'slow', why, rank: 4, tone: 'fair' }
}

function inSeconds(until: string, now: Date): string {
  return `in ${Math.max(0, Math.ceil((Date.parse(until) - now.getTime()) / 1000))} s`
}
