import type { Breaker } from '../../policies/resilience/breaker.ts'
import { FleetOpinion } from '../../policies/resilience/fleet-opinion.ts'
import type { SelectionPolicy, SelectionRequest, Why } from '../../policies/selection/policy.ts'
import { type Among, type Choice, fitting, look, type PoolRequest, withPrompt } from './choice.ts'
import { Lease, type LeaseEvents, type LeaseExtras } from './lease.ts'
import { listedModels } from './model-list.ts'
import { isClaimable, type Preview, preview } from './preview.ts'
import type { Ranks } from './ranks.ts'
import { FleetSigns } from './signs-of-life.ts'
import { SlowStart } from './slow-start.ts'
import { ToldPolicy } from './told-policy.ts'
import { type Unavailable, Worker } from './worker.ts'

export interface PoolEvents extends LeaseEvents {
  added(worker: Worker): void
  removed(worker: Worker): void
  /**
   * @param inPanic the worker's probes fail, and it was chosen all the same
   * @param choice why it was chosen, and what share of the prompt it was believed to hold
   */
  selected(worker: Worker, inPanic: boolean, choice: Chosen): void
  panicChanged(panic: boolean, healthy: number, total: number): void
  /** It refuses work, or has room again. */
  busyChanged(worker: Worker): void
}

export interface PoolOptions {
  readonly policy: SelectionPolicy
  /** Makes the breaker of a new worker; undefined where breakers are switched off. */
  readonly createBreaker: (url: string) => Breaker | undefined
  readonly maxInFlightPerWorker: number
  /** Data-parallel ranks behind each URL. Default: one. */
  readonly ranks?: Ranks | undefined
  readonly now: () => number
  /** Uniform in [0, 1). */
  readonly random?: () => number
  readonly events: PoolEvents
}

/** What is said of a choice. */
export interface Chosen {
  readonly why: Why
  readonly expected: number | undefined
  /** Another worker has failed or refused the request. */
  readonly again: boolean
}

/** The key of all names that no worker has listed, and that a client may have made up: they have the same choice. */
const unlisted = Symbol('unlisted')

/** The set of workers, and the one synchronous step that chooses among them and counts. */
export class Pool {
  #options: PoolOptions
  /** What chooses among available workers, for those who tell it things. */
  readonly policy: ToldPolicy
  readonly #slowStart: SlowStart
  readonly #ranks: Ranks | undefined
  readonly #fleet = new FleetSigns()
  readonly #opinion: FleetOpinion
  #panic = false
  #workers: readonly Worker[] = []
  readonly #byId = new Map<string, Worker>()
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
    this.#ranks = options.ranks
    this.policy = new ToldPolicy(() => this.#options.policy, options.ranks)
    this.#opinion = new FleetOpinion(options.now)
  }

  /**
   * Takes over another policy, other breakers or another cap; what is not named stays as it is.
   * @param createPolicy makes policies like the new one, for the data-parallel ranks
   */
  reconfigure({
    createPolicy,
    ...changes
  }: Partial<Pick<PoolOptions, 'policy' | 'createBreaker' | 'maxInFlightPerWorker'>> & {
    readonly createPolicy?: (() => SelectionPolicy) | undefined
  }): void {
    this.#options = { ...this.#options, ...changes }
    if (createPolicy !== undefined) this.#ranks?.reconfigure(createPolicy)
    const { createBreaker, maxInFlightPerWorker } = changes
    for (const worker of this.#workers) {
      if (createBreaker !== undefined) worker.breaker = createBreaker(worker.url)
      if (maxInFlightPerWorker !== undefined) worker.maxInFlight = maxInFlightPerWorker
    }
  }

  /** In order of registration. The array is never changed, only replaced. */
  get workers(): readonly Worker[] {
    return this.#workers
  }

  /** One of `workers`, without a look at all of them: once for each request. */
  withId(id: string): Worker | undefined {
    return this.#byId.get(id)
  }

  add(url: string): Worker {
    const { createBreaker, maxInFlightPerWorker: maxInFlight, now, random, events } = this.#options
    const worker = new Worker({
      url,
      ordinal: this.#nextOrdinal++,
      breaker: createBreaker(url),
      ...{ maxInFlight, now, random, fleet: this.#fleet },
      onBusy: (changed) => events.busyChanged(changed),
      onChange: this.#forget,
    })
    this.#workers = [...this.#workers, worker]
    this.#byId.set(worker.id, worker)
    this.#forget()
    events.added(worker)
    return worker
  }

  /** The worker gets nothing more; its leases run to their end. */
  remove(worker: Worker): void {
    worker.removed = true
    this.#workers = this.#workers.filter((other) => other !== worker)
    if (this.withId(worker.id) === worker) this.#byId.delete(worker.id)
    this.#forget()
    this.#slowStart.forget(worker)
    this.#options.events.removed(worker)
    // Last: a policy that fails at it must not keep the worker.
    this.restarted(worker)
  }

  /**
   * Claims an available worker; undefined when there is none.
   * @param among of a further attempt at a request; the first one takes anybody
   */
  acquire(request: PoolRequest, among?: Among): Lease | undefined {
    const first = among === undefined
    const key = first ? this.#keyOf(request.model) : undefined
    for (;;) {
      let choice = first ? this.#choices.get(key) : undefined
      if (choice === undefined) {
        choice = this.#look(request, among)
        if (choice.lasting) this.#choices.set(key, choice)
      }
      const candidates = fitting(this.#slowStart.withinShare(choice.candidates), choice, request)
      if (candidates.length === 0) return undefined
      const { policy } = this.#options
      const asked = policy.reads === undefined ? choice.request : withPrompt(choice.request, request)
      const worker = policy.select(candidates, asked)
      // What was found before may be old news. The next look sees the doubt, and does not last.
      if (choice.lasting && worker.lookForLife()) continue
      this.#slowStart.selected(worker)
      worker.recent.add('attempts')
      if (!first) worker.recent.add('retries')
      const { why = 'custom' } = policy
      const booking = policy.book?.(worker, asked)
      const chosen = { why, expected: booking?.expected, again: !first }
      this.#options.events.selected(worker, this.#panic && worker.health.name !== 'healthy', chosen)
      const { passedOver } = choice
      return this.#lease(worker, request, asked, { booking, why, candidates: candidates.length, passedOver })
    }
  }

  /** Where `acquire` would send a first attempt now. Nothing is claimed, counted or learnt, and nobody's turn is taken. */
  preview(request: PoolRequest): Preview {
    const parts = { policy: this.#options.policy, slowStart: this.#slowStart, ranks: this.#ranks }
    return preview(request, { ...parts, choice: this.#look(request, undefined) })
  }

  #look(request: PoolRequest, among: Among | undefined): Choice {
    const { model } = request
    const known = model !== undefined && this.serves(model) ? model : undefined
    return look(this.#workers, { request, among, known, panic: this.isInPanic })
  }

  #lease(worker: Worker, request: PoolRequest, asked: SelectionRequest, extras: LeaseExtras): Lease {
    const ranked = this.#ranks?.choose(worker.id, asked, extras.booking)
    const all = { ...extras, ...ranked }
    return new Lease(worker, request, this.#options.events, this.#opinion, all)
  }

  #keyOf(model: string | undefined): string | typeof unlisted | undefined {
    return model === undefined || this.knows(model) ? model : unlisted
  }

  /**
   * Claims this very worker, for a request about what only it has; undefined when it cannot take one now. One that drains
   * can: it still has it.
   */
  claim(worker: Worker, request: PoolRequest): Lease | undefined {
    if (!isClaimable(worker)) return undefined
    worker.recent.add('attempts')
    const lease = this.#lease(worker, request, withPrompt({ model: undefined }, request), {})
    lease.pinned = this.#workers.length > 1
    return lease
  }

  /** The worker can take requests again: after a probe, or a trial. */
  startSlowly(worker: Worker): void {
    if (this.#slowStart.selections > 0 && !worker.removed) this.#slowStart.begin(worker)
  }

  /** The worker has been started anew: nothing is left in its cache. */
  restarted(worker: Worker): void {
    this.#ranks?.forget(worker.id)
    this.#options.policy.forget?.(worker.id)
  }

  readonly #forget = (): void => {
    this.#choices.clear()
    this.#listed = undefined
    this.#known = undefined
  }

  /** With fewer than half of the pool passing their probes, the probes are more likely at fault than the workers. */
  get isInPanic(): boolean {
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

  /** Workers that could take a request for some model now; a single one also when its breaker forbids it. */
  get availableCount(): number {
    const panic = this.isInPanic
    const reasons = this.#workers.map((worker) => worker.unavailable(undefined, panic))
    const available = reasons.filter((reason) => reason === undefined).length
    const forbidden = reasons.filter((reason) => reason === 'breaker_open').length
    return available === 0 && forbidden === 1 ? 1 : available
  }

  /** True only when it is certain: some worker has listed this model. */
  serves(model: string): boolean {
    this.#listed ??= listedModels(this.#workers)
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

  /** Seconds until the first busy worker for this model may have room; undefined when none is busy. */
  roomAfter(model: string | undefined): number | undefined {
    const busy = this.#workers.filter(
      (worker) => worker.lastChoice === 'busy' && worker.unavailable(model, this.#panic) === undefined,
    )
    return busy.length === 0
      ? undefined
      : Math.min(...busy.map(({ standBack }) => standBack.remainingMs)) / 1000
  }

  /** Somebody may still turn out to be available: a worker that no probe has asked yet. */
  get isUnknown(): boolean {
    return this.#workers.some(({ probed }) => !probed)
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
