import type { Clock } from '../runtime/clock.ts'
import type { HeaderFields, HttpClient } from '../upstream/http-client.ts'
import { type AskOptions, type AskResult, ask } from './ask.ts'
import { takeModelList } from './model-list.ts'
import { ProgressWatch } from './progress.ts'
import type { Health, UnhealthyCause, Worker } from './worker.ts'
import { readEngine, readLoad } from './worker-metrics.ts'

export interface ProbeOptions {
  readonly path: string
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly failureThreshold: number
  readonly successThreshold: number
  /** Milliseconds between probes of a worker that is not healthy. */
  readonly checkIntervalMs: number
  /** Milliseconds after which a healthy worker is asked for its models again. */
  readonly modelsIntervalMs?: number
  /** Milliseconds without progress after which a worker with requests is given up. */
  readonly stallMs: number
  /** Milliseconds between two looks at that. */
  readonly stallCheckMs?: number
  /** Sent with every probe: the key for the workers. */
  readonly headers: HeaderFields
  /** The selection policy reads what the engine says of itself. Default false. */
  readonly readsEngine?: boolean | undefined
  readonly clock: Clock
  readonly random: () => number
  readonly events: ProbeEvents
}

export interface ProbeEvents {
  healthChanged(worker: Worker, from: Health, to: Health): void
  /** It has never been healthy, and this probe has failed too. Told at once, and then at growing pauses. */
  notUp(worker: Worker): void
  /** It does not list its models to the router. */
  modelsLocked?(worker: Worker): void
}

type Finding =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: string; readonly cause: UnhealthyCause }

const standsStill: Finding = { ok: false, reason: 'requests make no progress', cause: 'stalled' }

/** Milliseconds between two words about a worker that is not up: they double. */
const firstWordPauseMs = 10_000
const longestWordPauseMs = 10 * 60_000
/** Milliseconds for which a worker's falls are remembered: with each, more good probes are asked for. */
const flapMemoryMs = 5 * 60_000
/** Milliseconds that a worker may take to tell its metrics, where its health check may take as long or longer. */
const metricsTimeoutMs = 1000
/** Largest factor by which that number grows. */
const maxDamping = 16

/** The probing of one worker: asks again and again, and writes what it finds on the worker. */
export class Probe {
  readonly #worker: Worker
  readonly #client: HttpClient
  readonly #options: ProbeOptions
  #cancelTimer: () => void = () => {}
  #running = false
  #stopped = false
  #successes = 0
  #failures = 0
  #modelsAt = Number.NEGATIVE_INFINITY
  readonly #progress: ProgressWatch
  #progressAt = Number.NEGATIVE_INFINITY
  /** What the last look at it said; it stands until the next one. */
  #stalled = false
  /** When the next word about a worker that is not up is due, and the milliseconds until the one after it. */
  #nextWordAt = Number.NEGATIVE_INFINITY
  #wordPauseMs = firstWordPauseMs
  /** When the worker became unhealthy, within the memory. */
  #falls: number[] = []

  constructor(worker: Worker, client: HttpClient, options: ProbeOptions) {
    this.#worker = worker
    this.#client = client
    this.#options = options
    this.#progress = new ProgressWatch(
      () => options.stallMs,
      () => options.clock.now(),
    )
    this.soon()
  }

  soon(): void {
    if (this.#running || this.#stopped) return
    this.#cancelTimer()
    this.#running = true
    void this.#probe().finally(() => {
      this.#running = false
      if (this.#worker.removed && this.#worker.inFlight === 0) this.stop()
      if (!this.#stopped) this.#cancelTimer = this.#options.clock.after(this.#pause(), () => this.soon())
    })
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTimer()
  }

  /** Jitter keeps the probes of many workers, and of many routers, from falling together. */
  #pause(): number {
    const { intervalMs, checkIntervalMs, random } = this.#options
    const healthy = this.#worker.health.name === 'healthy'
    return (healthy ? intervalMs : Math.min(intervalMs, checkIntervalMs)) * (0.9 + 0.2 * random())
  }

  async #probe(): Promise<void> {
    const isWell = await this.#lookAtHealth()
    this.#worker.probed = true
    // After the verdict: metrics that hang must not hold it up.
    if (isWell) await this.#lookAtEngine()
  }

  /** Judges the worker; true when its health check is good. */
  async #lookAtHealth(): Promise<boolean> {
    const finding = await this.#askHealth()
    if (this.#stopped) return false
    if (finding === undefined) {
      // Nothing was found out: what was found last stands.
      this.#worker.noteError('probe: this process has no file descriptor left')
      if (this.#worker.health.name === 'starting') this.#sayNotUp()
      return false
    }
    if (finding.ok) await this.#refreshModels()
    const stalled = finding.ok && (await this.#isStalled())
    if (this.#stopped) return false
    this.#judge(stalled ? standsStill : this.#overruled(finding))
    return finding.ok
  }

  /** Reads the metrics, once for all who want them: a policy with each probe, the watch over progress now and then. */
  async #lookAtEngine(): Promise<void> {
    const { clock, readsEngine = false, stallCheckMs = 10_000 } = this.#options
    const due = this.#worker.inFlight > 0 && clock.now() - this.#progressAt >= stallCheckMs
    if (!due && !readsEngine) return
    if (due) this.#progressAt = clock.now()
    const metrics = await this.#askMetrics()
    if (!due || this.#stopped || this.#worker.inFlight === 0) return
    this.#stalled = metrics !== undefined && this.#progress.isStalled(metrics, this.#worker.signs.quietSince)
    if (this.#stalled) this.#judge(standsStill)
  }

  /** A worker that has sent tokens since the last probe is alive, however long its health check takes. */
  #overruled(finding: Finding): Finding {
    const alive = this.#worker.silentMs < this.#options.intervalMs
    return alive && !finding.ok && finding.cause !== 'refused' ? { ok: true } : finding
  }

  #judge(finding: Finding): void {
    const { health } = this.#worker
    this.#successes = finding.ok ? this.#successes + 1 : 0
    this.#failures = finding.ok ? 0 : this.#failures + 1
    this.#worker.badSince = finding.ok ? undefined : (this.#worker.badSince ?? this.#options.clock.now())
    if (!finding.ok) this.#worker.noteError(`probe: ${finding.reason}`)
    if (health.name === 'starting') {
      if (finding.ok) this.#change({ name: 'healthy' })
      else this.#sayNotUp()
    } else if (health.name === 'unhealthy') {
      if (this.#successes >= this.#successesNeeded()) this.#change({ name: 'healthy' })
      // Whether it may serve in a panic depends on what it is like now.
      else if (!finding.ok) this.#worker.health = { ...health, reason: finding.reason, cause: finding.cause }
    } else if (!finding.ok && this.#isEnough(finding.cause)) {
      this.#falls.push(this.#options.clock.now())
      this.#change({ name: 'unhealthy', reason: finding.reason, cause: finding.cause })
    }
  }

  /** Nobody listens, or nothing moves for a long time: one such finding is proof enough. */
  #isEnough(cause: UnhealthyCause): boolean {
    return cause === 'refused' || cause === 'stalled' || this.#failures >= this.#options.failureThreshold
  }

  /** A worker that comes and goes must prove itself longer each time. */
  #successesNeeded(): number {
    const { clock, successThreshold } = this.#options
    this.#falls = this.#falls.filter((at) => clock.now() - at < flapMemoryMs)
    return successThreshold * Math.min(2 ** Math.max(0, this.#falls.length - 1), maxDamping)
  }

  #change(to: Health): void {
    const from = this.#worker.health
    this.#worker.health = to
    // A worker that was away and is back has most likely been restarted: the old breaker's wait says nothing about it.
    if (from.name === 'unhealthy' && to.name === 'healthy') this.#worker.breaker?.tryNow()
    this.#options.events.healthChanged(this.#worker, from, to)
  }

  #sayNotUp(): void {
    const { clock, events } = this.#options
    const now = clock.now()
    if (now < this.#nextWordAt) return
    this.#nextWordAt = now + this.#wordPauseMs
    this.#wordPauseMs = Math.min(this.#wordPauseMs * 2, longestWordPauseMs)
    events.notUp(this.#worker)
  }

  /** Undefined when this machine has no connection left to ask with. */
  async #askHealth(): Promise<Finding | undefined> {
    const answer = await this.#ask(this.#options.path)
    if ('failed' in answer) {
      const { reason, cause } = answer.failed
      return cause === 'exhausted' ? undefined : { ok: false, reason, cause }
    }
    if (answer.status >= 200 && answer.status < 300) return { ok: true }
    return { ok: false, reason: `status ${answer.status}`, cause: 'status' }
  }

  /** A worker that lists no models serves on; it is only not known by name. */
  async #refreshModels(): Promise<void> {
    const { clock, modelsIntervalMs = 10_000 } = this.#options
    const due = clock.now() - this.#modelsAt >= modelsIntervalMs || this.#worker.health.name !== 'healthy'
    if (!due) return
    const answer = await this.#ask('/v1/models')
    const wasLocked = this.#worker.modelsLocked
    if (takeModelList(this.#worker, answer)) this.#modelsAt = clock.now()
    if (this.#worker.modelsLocked && !wasLocked) this.#options.events.modelsLocked?.(this.#worker)
  }

  /** What the last look at its progress said, as long as there is anything to make progress on. */
  async #isStalled(): Promise<boolean> {
    if (this.#worker.inFlight === 0 && !this.#stalled) {
      this.#progress.rest()
    } else if (this.#worker.inFlight === 0) {
      // What waited on it has been let go, so that nothing could move any more: it must show that it works.
      this.#stalled = !(await this.#generates())
    }
    return this.#stalled
  }

  async #askMetrics(): Promise<string | undefined> {
    const timeoutMs = Math.min(metricsTimeoutMs, this.#options.timeoutMs)
    const answer = await this.#ask('/metrics', { timeoutMs })
    if ('failed' in answer || answer.status !== 200) return undefined
    const load = readLoad(answer.body)
    const { inFlight, signs } = this.#worker
    this.#worker.load = load
    const own = { at: this.#options.clock.now(), inFlight, waiting: signs.waiting }
    if (this.#options.readsEngine === true) this.#worker.engine = readEngine(answer.body, load, own)
    return answer.body
  }

  /** One token of the router's own; a worker that has no such route, or no such model, need not show anything. */
  async #generates(): Promise<boolean> {
    const model = this.#worker.modelEntries[0]?.id
    if (model === undefined) return true
    const answer = await this.#ask('/v1/completions', { body: { model, prompt: '1', max_tokens: 1 } })
    return !('failed' in answer) && answer.status < 500
  }

  #ask(path: string, more: Partial<AskOptions> = {}): Promise<AskResult> {
    const { clock, timeoutMs, headers } = this.#options
    return ask(this.#worker, path, { client: this.#client, clock, timeoutMs, headers, ...more })
  }
}
