import { createHash } from 'node:crypto'
import type { Breaker, BreakerState } from '../../policies/resilience/breaker.ts'
import type { Candidate, EngineFacts } from '../../policies/selection/policy.ts'
import type { Health, LastChoice, Unavailable } from './health.ts'
import type { Lease } from './lease.ts'
import { RecentMinute } from './recent-minute.ts'
import { ShownModels } from './shown-models.ts'
import { FleetSigns, type Kind, SignsOfLife } from './signs-of-life.ts'
import { StandBack } from './stand-back.ts'
import { TimeShare } from './time-share.ts'
import type { WorkerLoad } from './worker-metrics.ts'

export type { Health, LastChoice, Unavailable, UnhealthyCause } from './health.ts'

/** An entry of an OpenAI model list. */
export type ModelEntry = { readonly id: string } & Readonly<Record<string, unknown>>

export interface WorkerOptions {
  /** http(s) URL without a trailing slash; a path is a prefix of every request's path. */
  readonly url: string
  readonly ordinal: number
  /** Undefined where breakers are switched off. */
  readonly breaker: Breaker | undefined
  /** Requests in flight that it may have at most. */
  readonly maxInFlight: number
  readonly now: () => number
  /** Uniform in [0, 1). */
  readonly random?: (() => number) | undefined
  /** Shared with the other workers of its pool. */
  readonly fleet?: FleetSigns
  /** It has begun to refuse work, or has room again. */
  readonly onBusy?: (worker: Worker) => void
  /**
   * Called when something that `unavailable` and `lastChoice` depend on has changed. Not called when a worker that was
   * full or not `steady` can take requests again: what was found of such a worker is not kept.
   */
  readonly onChange?: () => void
}

/** One vLLM server behind the router: the facts that others find out about it, and the one rule that follows from them. */
export class Worker implements Candidate {
  /** Short and stable: the same URL has the same id in every router. */
  readonly id: string
  readonly url: string
  readonly origin: string
  readonly pathPrefix: string
  readonly ordinal: number
  #breaker: Breaker | undefined
  /** Taken out of the pool: it only finishes its leases. */
  removed = false
  /** The first probe is over, whatever it has found. */
  probed = false
  /** Since when no probe has found anything good; milliseconds on the router's clock. */
  badSince: number | undefined
  /** The same list as the worker wrote it. */
  modelEntries: readonly ModelEntry[] = []
  /** It wants a key for its list of models that the router does not have. */
  modelsLocked = false
  readonly #shown = new ShownModels()
  #keyRefused = false
  /** The last failure of a request or a probe, for operators. */
  lastError: { readonly at: Date; readonly message: string } | undefined
  /** What it said of its load the last time it was asked; it is asked while it has requests. */
  load: WorkerLoad | undefined
  /** The same for the selection policy, where it reads that. */
  engine: EngineFacts | undefined
  readonly signs: SignsOfLife
  readonly recent: RecentMinute
  readonly standBack: StandBack
  /** What of its time each request has had. */
  readonly timeShare = new TimeShare()
  readonly #leases = new Set<Lease>()
  #health: Health = { name: 'starting' }
  #draining = false
  #weight = 1
  #models: ReadonlySet<string> | undefined
  /** It was doubtful at the last look. */
  #doubted = false
  #maxInFlight: number
  readonly #now: () => number
  readonly #onChange: () => void
  readonly #onBusy: (worker: Worker) => void

  constructor({ url, ordinal, breaker, maxInFlight, now, ...options }: WorkerOptions) {
    const { random = Math.random, fleet = new FleetSigns(), onBusy, onChange } = options
    const { origin, pathname } = new URL(url)
    this.id = createHash('sha256').update(url).digest('hex').slice(0, 12)
    this.url = url
    this.origin = origin
    this.pathPrefix = pathname === '/' ? '' : pathname.replace(/\/$/, '')
    this.ordinal = ordinal
    this.#maxInFlight = maxInFlight
    this.#now = now
    this.#onChange = onChange ?? (() => {})
    this.#onBusy = onBusy ?? (() => {})
    this.signs = new SignsOfLife(now, fleet)
    this.recent = new RecentMinute(now)
    this.standBack = new StandBack(now, random)
    this.breaker = breaker
  }

  get breaker(): Breaker | undefined {
    return this.#breaker
  }

  /** With other settings a worker gets another breaker, which is closed. */
  set breaker(breaker: Breaker | undefined) {
    this.#breaker = breaker
    if (breaker !== undefined) breaker.onMove = this.#onChange
    this.#onChange()
  }

  /** Requests in flight that it may have at most. */
  set maxInFlight(most: number) {
    this.#maxInFlight = most
    this.#onChange()
  }

  get health(): Health {
    return this.#health
  }

  set health(health: Health) {
    this.#health = health
    this.#onChange()
  }

  /** By an operator or by the source that found it: nothing new comes, what runs may finish. */
  get draining(): boolean {
    return this.#draining
  }

  set draining(draining: boolean) {
    this.#draining = draining
    this.#onChange()
  }

  /** How much of the work it should get, beside others: above 0. */
  get weight(): number {
    return this.#weight
  }

  set weight(weight: number) {
    this.#weight = weight
    this.#onChange()
  }

  /** Names of the models it serves. Undefined until the worker has listed them: until then it may serve any. */
  get models(): ReadonlySet<string> | undefined {
    return this.#models
  }

  /** Requests open now. */
  get inFlight(): number {
    return this.#leases.size
  }

  /** A request goes to it. Returns when, on the router's clock in milliseconds. */
  take(lease: Lease, kind: Kind): number {
    this.#leases.add(lease)
    if (this.#leases.size >= this.#maxInFlight) this.#onChange()
    if (this.standBack.known) this.standBack.asked()
    return this.signs.sent(kind)
  }

  /** The request is over. Returns the milliseconds of the worker that were its own. */
  release(lease: Lease, entered: number): number {
    this.#leases.delete(lease)
    return this.timeShare.leave(entered, this.#now())
  }

  /** It is known to be dead: nobody waits for it any more. */
  letGo(): void {
    for (const lease of [...this.#leases]) lease.onLetGo?.()
  }

  /**
   * The single truth of eligibility: why the worker cannot get a request now, or undefined when it can.
   * @param panic the pool is so ill that a worker whose probes are merely silent is better than none
   */
  unavailable(model: string | undefined, panic = false): Unavailable | undefined {
    const { health } = this
    if (this.removed) return 'removed'
    if (this.draining) return 'draining'
    if (health.name === 'starting') return 'starting'
    if (health.name === 'unhealthy' && !(panic && health.cause === 'silent')) return 'unhealthy'
    if (this.#keyRefused) return 'key_refused'
    if (model !== undefined && !this.#mayHave(model)) return 'other_model'
    if (this.inFlight >= this.#maxInFlight) return 'full'
    // The last one: this reason alone does not keep a request from the only worker there is.
    return this.breaker === undefined || this.breaker.allows() ? undefined : 'breaker_open'
  }

  /** Why others should get the next request: a request is tried here only when there is nobody else. */
  get lastChoice(): LastChoice | undefined {
    if (this.standBack.active) return 'busy'
    this.lookForLife()
    return this.#doubted ? 'no_sign_of_life' : undefined
  }

  /**
   * Of an available worker: true while `unavailable` and `lastChoice` cannot change without `onChange` being called. Its
   * breaker is closed, and it does not stand back and is not doubted. The pool may then keep what it found.
   */
  get steady(): boolean {
    return this.breakerState.name === 'closed' && !this.standBack.known && !this.#doubted
  }

  /**
   * It refuses work because it is busy (429, 503): it stands back, and is not blamed.
   * @param retryAfterMs what it asked for; 0 when it said nothing
   */
  refuse(retryAfterMs: number): void {
    const known = this.standBack.known
    this.standBack.refused(retryAfterMs)
    this.recent.add('refusals')
    this.#onChange()
    if (!known) this.#onBusy(this)
  }

  /** It has taken a request again. */
  hasRoom(): void {
    this.standBack.end()
    this.#onBusy(this)
  }

  /** Looks whether it is doubtful now. Returns true when that has changed. */
  lookForLife(): boolean {
    const { doubtful } = this.signs
    if (doubtful === this.#doubted) return false
    this.#doubted = doubtful
    this.#onChange()
    return true
  }

  /** Notes activity that only a working engine can produce. */
  noteActivity(now = this.#now()): void {
    this.signs.heard(now)
  }

  /** Milliseconds for which requests have waited on it without a sign of life; 0 where none waits. */
  get quietMs(): number {
    return this.#now() - this.signs.quietSince
  }

  /** Milliseconds since it was last heard. */
  get silentMs(): number {
    return this.#now() - this.signs.heardAt
  }

  listModels(entries: readonly ModelEntry[]): void {
    this.modelEntries = entries
    const names = new Set(entries.map(({ id }) => id))
    // Asked every ten seconds, it nearly always says the same.
    if (this.#models?.size === names.size && this.#models.isSubsetOf(names)) return
    this.#models = names
    this.#onChange()
  }

  /** It does not take the router's own key. */
  get keyRefused(): boolean {
    return this.#keyRefused
  }

  set keyRefused(refused: boolean) {
    if (refused === this.#keyRefused) return
    this.#keyRefused = refused
    this.#onChange()
  }

  /** Models that it has shown to have, where it does not list them. */
  get shownModels(): ReadonlySet<string> {
    return this.#shown.names
  }

  /** Its answer to a request has shown whether it has a model. */
  learnModel(model: string, has: boolean): void {
    if (this.#shown.learn(model, has)) this.#onChange()
  }

  forgetLacking(): void {
    if (this.#shown.forgetLacking()) this.#onChange()
  }

  #mayHave(model: string): boolean {
    return this.#models === undefined ? !this.#shown.lacks(model) : this.#models.has(model)
  }

  noteError(message: string): void {
    this.lastError = { at: new Date(), message }
  }

  get breakerState(): BreakerState {
    return this.breaker?.state ?? { name: 'closed' }
  }
}
