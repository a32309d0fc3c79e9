import type { Breaker } from '../../policies/resilience/breaker.ts'
import type { SelectionPolicy } from '../../policies/selection/policy.ts'
import { Lease, type LeaseEvents } from './lease.ts'
import { type Unavailable, Worker } from './worker.ts'

export interface PoolEvents extends LeaseEvents {
  added(worker: Worker): void
  removed(worker: Worker): void
  selected(worker: Worker): void
}

export interface PoolOptions {
  readonly policy: SelectionPolicy
  /** Makes the breaker of a new worker; undefined where breakers are switched off. */
  readonly createBreaker: (url: string) => Breaker | undefined
  readonly maxInFlightPerWorker: number
  readonly now: () => number
  readonly events: PoolEvents
}

/** The set of workers, and the one synchronous step that chooses among them and counts. */
export class Pool {
  readonly #options: PoolOptions
  #workers: readonly Worker[] = []
  #nextOrdinal = 0

  constructor(options: PoolOptions) {
    this.#options = options
  }

  /** In order of registration. The array is never changed, only replaced. */
  get workers(): readonly Worker[] {
    return this.#workers
  }

  add(url: string): Worker {
    const { createBreaker, maxInFlightPerWorker: maxInFlight, now, events } = this.#options
    const worker = new Worker({
      url,
      ordinal: this.#nextOrdinal++,
      breaker: createBreaker(url),
      maxInFlight,
      now,
    })
    this.#workers = [...this.#workers, worker]
    events.added(worker)
    return worker
  }

  /** The worker gets nothing more; its leases run to their end. */
  remove(worker: Worker): void {
    worker.removed = true
    this.#workers = this.#workers.filter((other) => other !== worker)
    this.#options.events.removed(worker)
  }

  /** Claims an available worker that is not among `tried`; undefined when there is none. */
  acquire(model: string | undefined, tried: ReadonlySet<Worker>): Lease | undefined {
    const ready: Worker[] = []
    const cooling: Worker[] = []
    for (const worker of this.#workers) {
      if (worker.unavailable(model) !== undefined || tried.has(worker)) continue
      if (worker.cooling) cooling.push(worker)
      else ready.push(worker)
    }
    const candidates = ready.length > 0 ? ready : cooling
    if (candidates.length === 0) return undefined
    const known = model !== undefined && candidates[0]!.models?.has(model) ? model : undefined
    const worker = this.#options.policy.select(candidates, { model: known })
    this.#options.events.selected(worker)
    return new Lease(worker, this.#options.events)
  }

  /** Workers that could take a request for some model now. */
  get availableCount(): number {
    return this.#workers.filter((worker) => worker.unavailable(undefined) === undefined).length
  }

  /** True only when it is certain: some worker has listed this model. */
  serves(model: string): boolean {
    return this.#workers.some(({ models }) => models?.has(model))
  }

  /** False only when it is certain: every worker has listed its models and none has this one. */
  mayServe(model: string): boolean {
    return (
      this.#workers.length === 0 ||
      this.#workers.some(({ models }) => models === undefined || models.has(model))
    )
  }

  /** Seconds after which asking again makes sense: when the first breaker lets a trial through. */
  retryAfter(): number {
    const now = this.#options.now()
    let soonest = Number.POSITIVE_INFINITY
    for (const { breakerState } of this.#workers) {
      if (breakerState.name === 'open') soonest = Math.min(soonest, (breakerState.until - now) / 1000)
    }
    return Number.isFinite(soonest) ? soonest : 1
  }

  /** Why nobody can take a request for this model: how many workers there are for each reason. */
  refusals(model: string | undefined): ReadonlyMap<Unavailable, number> {
    const counts = new Map<Unavailable, number>()
    for (const worker of this.#workers) {
      const reason = worker.unavailable(model)
      if (reason !== undefined) counts.set(reason, (counts.get(reason) ?? 0) + 1)
    }
    return counts
  }
}
