import type { Breaker } from '../../policies/resilience/breaker.ts'
import type { SelectionPolicy, SelectionRequest } from '../../policies/selection/policy.ts'
import { Lease, type LeaseEvents } from './lease.ts'
import { SlowStart } from './slow-start.ts'
import { type Unavailable, Worker } from './worker.ts'

export interface PoolEvents extends LeaseEvents {
  added(worker: Worker): void
  removed(worker: Worker): void
  /** @param inPanic the worker's probes fail, and it was chosen all the same */
  selected(worker: Worker, inPanic: boolean): void
  panicChanged(panic: boolean, healthy: number, total: number): void
}

export interface PoolOptions {
  readonly policy: SelectionPolicy
  /** Makes the breaker of a new worker; undefined where breakers are switched off. */
  readonly createBreaker: (url: string) => Breaker | undefined
  readonly maxInFlightPerWorker: number
  readonly now: () => number
  readonly events: PoolEvents
}

/** Those among whom the policy chooses, and what it may know of the request. */
interface Choice {
  readonly candidates: readonly Worker[]
  readonly request: SelectionRequest
  /** It holds until a worker reports a change. */
  readonly lasting: boolean
}

/** The key of all names that no worker has listed, and that a client may have made up: they have the same choice. */
const unlisted = Symbol('unlisted')

const nobody: ReadonlySet<Worker> = new Set()

/** The set of workers, and the one synchronous step that chooses among them and counts. */
export class Pool {
  readonly #options: PoolOptions
  readonly #slowStart: SlowStart
  #panic = false
  #workers: readonly Worker[] = []
  #nextOrdinal = 0
  /** What `#look` found for a model, as long as it stays true: with 1,000 workers the look costs 30 us. */
  readonly #choices = new Map<string | typeof unlisted | undefined, Choice>()
  /** Every model that a worker has listed; undefined until somebody asks. */
  #listed: ReadonlySet<string> | undefined
  /** The same with those that workers have shown to have. */
  #known: ReadonlySet<string> | undefined

  constructor(options: PoolOptions) {
    this.#options = options
    this.#slowStart = new SlowStart(options.now)
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
      onChange: this.#forget,
    })
    this.#workers = [...this.#workers, worker]
    this.#forget()
    events.added(worker)
    return worker
  }

  /** The worker gets nothing more; its leases run to their end. */
  remove(worker: Worker): void {
    worker.removed = true
    this.#slowStart.forget(worker)
    this.#workers = this.#workers.filter((other) => other !== worker)
    this.#forget()
    this.#options.events.removed(worker)
  }

  /** Claims an available worker that is not among `tried`; undefined when there is none. */
  acquire(model: string | undefined, tried: ReadonlySet<Worker> = nobody): Lease | undefined {
    const key = model === undefined || this.knows(model) ? model : unlisted
    let choice = tried.size === 0 ? this.#choices.get(key) : undefined
    if (choice === undefined) {
      choice = this.#look(model, tried)
      if (choice.lasting) this.#choices.set(key, choice)
    }
    const candidates = this.#slowStart.withinShare(choice.candidates)
    if (candidates.length === 0) return undefined
    const worker = this.#options.policy.select(candidates, choice.request)
    this.#slowStart.selected(worker)
    this.#options.events.selected(worker, this.#panic && worker.health.name !== 'healthy')
    return new Lease(worker, this.#options.events)
  }

  /**
   * Claims this very worker, for a request about what only it has; undefined when it cannot take one now. One that drains
   * can: it still has it.
   */
  claim(worker: Worker): Lease | undefined {
    const reason = worker.unavailable(undefined)
    const able = reason === undefined || (reason === 'draining' && worker.breaker?.allows() !== false)
    return able ? new Lease(worker, this.#options.events) : undefined
  }

  /** The worker can take requests again: after a probe, or a trial. */
  welcome(worker: Worker): void {
    if (this.#slowStart.selections > 0) this.#slowStart.begin(worker)
  }

  readonly #forget = (): void => {
    this.#choices.clear()
    this.#listed = undefined
    this.#known = undefined
  }

  /**
   * Looks at every worker; one that asked for a pause is chosen only when there is nobody else. A request that has failed
   * once is no trial for a half-open breaker while somebody sound is left: it would fail on one sick worker after the other.
   */
  #look(model: string | undefined, tried: ReadonlySet<Worker>): Choice {
    const panic = this.#inPanic()
    const ready: Worker[] = []
    const onTrial: Worker[] = []
    const cooling: Worker[] = []
    let lasting = tried.size === 0
    for (const worker of this.#workers) {
      const reason = worker.unavailable(model, panic)
      if (reason === 'breaker_open' || reason === 'full') lasting = false
      if (reason !== undefined || tried.has(worker)) continue
      if (!worker.steady) lasting = false
      if (worker.cooling) cooling.push(worker)
      else if (tried.size > 0 && worker.breakerState.name !== 'closed') onTrial.push(worker)
      else ready.push(worker)
    }
    const candidates = [ready, onTrial, cooling].find(({ length }) => length > 0) ?? []
    const known = model !== undefined && this.serves(model)
    return { candidates, request: { model: known ? model : undefined }, lasting }
  }

  /** With fewer than half of the pool passing their probes, the probes are more likely at fault than the workers. */
  #inPanic(): boolean {
    let healthy = 0
    let silent = 0
    for (const { health } of this.#workers) {
      if (health.name === 'healthy') healthy += 1
      else if (health.name === 'unhealthy' && health.cause === 'silent') silent += 1
    }
    const panic = silent > 0 && healthy * 2 < this.#workers.length
    if (panic !== this.#panic) {
      this.#panic = panic
      this.#options.events.panicChanged(panic, healthy, this.#workers.length)
    }
    return panic
  }

  /** Workers that could take a request for some model now. */
  get availableCount(): number {
    const panic = this.#inPanic()
    return this.#workers.filter((worker) => worker.unavailable(undefined, panic) === undefined).length
  }

  /** True only when it is certain: some worker has listed this model. */
  serves(model: string): boolean {
    this.#listed ??= new Set(this.#workers.flatMap(({ models }) => [...(models ?? [])]))
    return this.#listed.has(model)
  }

  /** Some worker has listed this model, or has answered for it. */
  knows(model: string): boolean {
    this.#known ??= new Set(this.#workers.flatMap(({ models, shownModels }) => [...(models ?? shownModels)]))
    return this.#known.has(model)
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
