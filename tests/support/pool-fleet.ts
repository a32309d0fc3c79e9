import type { Health, Worker } from '../../app/workers/worker.ts'
import type { Breaker } from '../../policies/resilience/breaker.ts'
import { AppClock } from './app-clock.ts'
import { requestFor, testPool } from './pool.ts'

export const refused: Health = { name: 'unhealthy', reason: 'ECONNREFUSED', cause: 'refused' }

/** So many healthy workers in a pool without network. */
export function fleet(size: number, options: Partial<Parameters<typeof testPool>[0]> = {}) {
  const clock = new AppClock()
  const kit = testPool({ clock, ...options })
  const workers = Array.from({ length: size }, (_, at) => kit.addHealthy(`http://w${at}:1`))
  /** The workers that so many requests reach, one after the other. */
  const reached = (requests = 12, request = requestFor()): Set<Worker> => {
    const seen = new Set<Worker>()
    for (let at = 0; at < requests; at++) {
      const lease = kit.pool.acquire(request)
      if (lease !== undefined) seen.add(lease.worker)
      lease?.settle('success')
    }
    return seen
  }
  const outcomes = () => workers.map((worker) => kit.reports.outcomes.get(worker) ?? [])
  return { clock, ...kit, outcomes, workers: workers as [Worker, Worker, Worker], reached }
}

/** A breaker in this state, whatever it is told. */
export function fixedBreaker(name: 'closed' | 'open' | 'half_open') {
  return {
    allows: () => name !== 'open',
    state: { name, until: 0, reason: 'five failures', trialRunning: false },
    enter: () => ({ epoch: 0, trial: false, forced: false }),
    leave: () => {},
    yieldTrial: () => {},
    poorTrial: () => true,
  } as unknown as Breaker
}
