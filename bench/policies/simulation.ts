import type { Booking, SelectionPolicy } from '../../policies/selection/policy.ts'
import { Engine, type EngineSpec, type SimulatedRequest } from './engine.ts'
import { seededRandom } from './random.ts'
import { chainOf, Router, type SeenWorker } from './router.ts'
import { TimeQueue } from './time-queue.ts'

export interface FleetSpec extends EngineSpec {
  readonly workers: number
}

/** Eight servers of which each holds a million tokens and computes 8000 a second. */
export const fleet: FleetSpec = {
  workers: 8,
  blocks: 2000,
  blockTokens: 512,
  prefill: 8000,
  budget: 2048,
  stepSeconds: 0.01,
  secondsPerDecode: 0.000_15,
  maxBatch: 64,
}

export interface SimulationOptions {
  readonly requests: readonly SimulatedRequest[]
  /** Makes the policy of one router. Its clock shows milliseconds of the simulation. */
  readonly createPolicy: (context: {
    readonly random: () => number
    readonly now: () => number
  }) => SelectionPolicy
  /** Routers that do not know of each other; each request comes to any of them. Default 1. */
  readonly routers?: number
  readonly seed?: number
  readonly spec?: FleetSpec
  /** Seconds between two readings of the workers' metrics. Default 1. */
  readonly scrapeSeconds?: number
  /** A worker that is lost and comes back empty, in seconds. */
  readonly outage?: { readonly worker: number; readonly from: number; readonly to: number } | undefined
  /** A worker at half speed. */
  readonly slow?: number | undefined
  /** Clients say which session a request belongs to. */
  readonly sessions?: boolean
}

export interface SimulationResult {
  /** Share of the prompt tokens that the workers found in their caches. */
  readonly hits: number
  /** Seconds to the first token. */
  readonly p50: number
  readonly p90: number
  readonly p99: number
  /** Prompt tokens computed by the busiest worker, as a multiple of the mean. */
  readonly imbalance: number
  /** Seconds from the first request to the end of the last answer. */
  readonly seconds: number
  readonly requestsPerSecond: number
}

interface Open extends SimulatedRequest {
  place: number
  arrivedAt: number
  router: Router
  worker: number
  booking: Booking | undefined
}

type Event =
  | { readonly kind: 'arrive'; readonly request: Open }
  | { readonly kind: 'engine'; readonly worker: number; readonly version: number }
  | { readonly kind: 'scrape'; readonly router: Router }
  | { readonly kind: 'lose' | 'back'; readonly worker: number }

/** Runs a policy over a workload: the policy's own code, in a fleet of simulated servers. Deterministic. */
export function simulate(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run()
}

class Simulation {
  readonly #options: SimulationOptions
  readonly #events = new TimeQueue<Event>()
  readonly #engines: readonly Engine<Open>[]
  readonly #routers: readonly Router[]
  readonly #random: () => number
  readonly #firstTokens: number[] = []
  /** The turn that follows a request's answer. */
  readonly #following = new Map<number, Open>()
  readonly #spec: FleetSpec
  readonly #scrapeSeconds: number
  #now = 0
  #left: number
  #end = 0
  #promptTokens = 0

  constructor(options: SimulationOptions) {
    const { requests, createPolicy, routers = 1, seed = 1, spec = fleet, scrapeSeconds = 1 } = options
    this.#options = options
    this.#spec = spec
    this.#scrapeSeconds = scrapeSeconds
    this.#random = seededRandom(seed)
    this.#engines = Array.from({ length: spec.workers }, (_, worker) => {
      const isSlow = worker === options.slow
      return new Engine<Open>(
        isSlow ? { ...spec, prefill: spec.prefill / 2, stepSeconds: spec.stepSeconds * 2 } : spec,
      )
    })
    const now = (): number => this.#now * 1000
    this.#routers = Array.from({ length: routers }, (_, index) => {
      const random = seededRandom(seed * 1000 + index)
      const router = new Router(spec.workers, createPolicy({ random, now }))
      this.#events.push((index * scrapeSeconds) / routers, { kind: 'scrape', router })
      return router
    })
    this.#left = requests.length
    for (const [place, request] of requests.entries()) {
      const open = { ...request, place, arrivedAt: 0, worker: -1, booking: undefined } as unknown as Open
      if (request.after === undefined) this.#events.push(request.at, { kind: 'arrive', request: open })
      else this.#following.set(request.after, open)
    }
    const { outage } = options
    if (outage === undefined) return
    this.#events.push(outage.from, { kind: 'lose', worker: outage.worker })
    this.#events.push(outage.to, { kind: 'back', worker: outage.worker })
  }

  run(): SimulationResult {
    while (this.#left > 0) {
      const { at, value } = this.#events.pop()
      this.#now = at
      if (value.kind === 'arrive') this.#arrive(value.request)
      else if (value.kind === 'engine') this.#move(value.worker, value.version)
      else if (value.kind === 'scrape') this.#scrape(value.router)
      else if (value.kind === 'lose') this.#lose(value.worker)
      else this.#comeBack(value.worker)
    }
    return this.#result()
  }

  #arrive(request: Open): void {
    request.arrivedAt = this.#now
    request.router = this.#routers[Math.floor(this.#random() * this.#routers.length)]!
    this.#promptTokens += request.promptTokens
    this.#route(request)
  }

  #route(request: Open): void {
    const { policy, available } = request.router
    const asked = {
      model: undefined,
      stream: true,
      prompt: chainOf(request, this.#spec.blockTokens),
      session:
        this.#options.sessions === true && request.session !== undefined
          ? String(request.session)
          : undefined,
    }
    const chosen = policy.select(available, asked)
    request.booking = policy.book?.(chosen, asked)
    chosen.inFlight += 1
    chosen.waiting += 1
    request.worker = chosen.ordinal
    const engine = this.#engines[chosen.ordinal]!
    engine.advance(this.#now)
    engine.queue.push(request)
    this.#kick(chosen.ordinal)
  }

  /** Lets the engine begin what it can, and foretells when it is done. */
  #kick(worker: number): void {
    const engine = this.#engines[worker]!
    engine.admit()
    engine.version += 1
    const at = engine.nextAt()
    if (Number.isFinite(at)) this.#events.push(at, { kind: 'engine', worker, version: engine.version })
  }

  #move(worker: number, version: number): void {
    const engine = this.#engines[worker]!
    if (engine.version !== version) return
    engine.advance(this.#now)
    const prefilled = engine.takePrefilled()
    if (prefilled !== undefined) {
      this.#firstTokens.push(this.#now - prefilled.arrivedAt)
      prefilled.booking?.firstToken()
      this.#seen(prefilled).waiting -= 1
      if (prefilled.answerTokens <= 1) this.#close(prefilled)
    }
    for (let done = engine.takeAnswered(); done !== undefined; done = engine.takeAnswered()) this.#close(done)
    this.#kick(worker)
  }

  #seen({ router, worker }: Open): SeenWorker {
    return router.workers[worker]!
  }

  #close(request: Open): void {
    request.booking?.end()
    this.#seen(request).inFlight -= 1
    this.#left -= 1
    this.#end = Math.max(this.#end, this.#now)
    const next = this.#following.get(request.place)
    if (next !== undefined)
      this.#events.push(this.#now + (next.think ?? 0), { kind: 'arrive', request: next })
  }

  #scrape(router: Router): void {
    for (const seen of router.workers) {
      const engine = this.#engines[seen.ordinal]!
      const foreign = Math.max(0, engine.waiting + engine.running - seen.inFlight)
      const prefilling = engine.current === undefined ? 0 : 0.5
      seen.engine = {
        at: this.#now * 1000,
        own: seen.inFlight,
        foreign,
        foreignWaiting: Math.min(foreign, Math.max(0, engine.waiting + prefilling - seen.waiting)),
        cacheQueries: engine.found + engine.computed,
        cacheHits: engine.found,
        cacheTokens: engine.cacheTokens,
      }
    }
    this.#events.push(this.#now + this.#scrapeSeconds, { kind: 'scrape', router })
  }

  #lose(worker: number): void {
    const engine = this.#engines[worker]!
    engine.advance(this.#now)
    const { unanswered, cut } = engine.lose(this.#now)
    for (const router of this.#routers) router.see(worker, false)
    for (const request of cut) this.#close(request)
    for (const request of unanswered) {
      request.booking?.end()
      const seen = this.#seen(request)
      seen.inFlight -= 1
      seen.waiting -= 1
      this.#route(request)
    }
  }

  #comeBack(worker: number): void {
    this.#engines[worker]!.restart(this.#now)
    for (const router of this.#routers) router.see(worker, true)
  }

  #result(): SimulationResult {
    const times = Float64Array.from(this.#firstTokens).sort()
    const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))]!
    const computed = this.#engines.map((engine) => engine.computed)
    const found = this.#engines.reduce((sum, engine) => sum + engine.found, 0)
    const sum = computed.reduce((all, one) => all + one)
    return {
      hits: found / this.#promptTokens,
      p50: at(0.5),
      p90: at(0.9),
      p99: at(0.99),
      imbalance: (Math.max(...computed) * computed.length) / sum,
      seconds: this.#end,
      requestsPerSecond: this.#options.requests.length / this.#end,
    }
  }
}
