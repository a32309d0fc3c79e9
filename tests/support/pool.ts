import type { PoolRequest } from '../../app/workers/choice.ts'
import { Pool, type PoolEvents } from '../../app/workers/pool.ts'
import type { Worker } from '../../app/workers/worker.ts'
import type { Breaker } from '../../policies/resilience/breaker.ts'
import type { Outcome } from '../../policies/resilience/outcome.ts'
import { roundRobin } from '../../policies/selection/round-robin.ts'
import type { AppClock } from './app-clock.ts'

/** A request as the pool sees it. */
export function requestFor(
  model?: string,
  { stream = false, kind = 'any' }: { stream?: boolean; kind?: string } = {},
): PoolRequest {
  return { model, stream, kind: () => kind }
}

/** Everything a pool reports, counted by worker. */
export class PoolReports implements PoolEvents {
  readonly inFlight = new Map<Worker, number>()
  readonly outcomes = new Map<Worker, Outcome[]>()
  /** The lowest number of requests in flight that was ever reported. */
  lowest = 0
  startedInAll = 0
  endedInAll = 0
  selectedInPanic = 0
  /** Each change: it began, it is over. */
  readonly panic: boolean[] = []
  /** Each change: it is busy, it has room again. */
  readonly busy: boolean[] = []

  added(): void {}
  removed(): void {}

  selected(_worker: Worker, inPanic: boolean): void {
    if (inPanic) this.selectedInPanic += 1
  }

  panicChanged(panic: boolean): void {
    this.panic.push(panic)
  }

  busyChanged(worker: Worker): void {
    this.busy.push(worker.standBack.known)
  }

  started(worker: Worker): void {
    this.startedInAll += 1
    this.inFlight.set(worker, (this.inFlight.get(worker) ?? 0) + 1)
  }

  ended(worker: Worker): void {
    this.endedInAll += 1
    const left = (this.inFlight.get(worker) ?? 0) - 1
    this.inFlight.set(worker, left)
    this.lowest = Math.min(this.lowest, left, worker.inFlight)
  }

  judged(worker: Worker, outcome: Outcome): void {
    this.outcomes.set(worker, [...(this.outcomes.get(worker) ?? []), outcome])
  }
}

export interface TestPoolOptions {
  readonly clock: AppClock
  readonly policy?: ConstructorParameters<typeof Pool>[0]['policy']
  readonly createBreaker?: () => Breaker
  readonly maxInFlightPerWorker?: number
  readonly ranks?: ConstructorParameters<typeof Pool>[0]['ranks']
}

/** A pool without network, and the reports it makes. */
export function testPool({
  clock,
  policy = roundRobin({ random: () => 0 }),
  createBreaker,
  maxInFlightPerWorker = Number.POSITIVE_INFINITY,
  ranks,
}: TestPoolOptions) {
  const reports = new PoolReports()
  const pool = new Pool({
    policy,
    createBreaker: () => createBreaker?.(),
    maxInFlightPerWorker,
    ranks,
    now: () => clock.now(),
    random: () => 0.5,
    events: reports,
  })
  return {
    pool,
    reports,
    addHealthy(url: string): Worker {
      const worker = pool.add(url)
      worker.health = { name: 'healthy' }
      return worker
    },
  }
}
