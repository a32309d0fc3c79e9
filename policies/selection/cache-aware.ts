import { FleetView, freshness } from './fleet-view.ts'
import { Look, ModelState } from './look.ts'
import { OpenPrompt, OpenPrompts, PrefillSpeed } from './open-prompts.ts'
import type {
  Booking,
  Candidate,
  SelectionContext,
  SelectionPolicy,
  SelectionRequest,
  SelectionSettings,
  Why,
} from './policy.ts'
import { PrefixIndex } from './prefix-index.ts'
import { hashText, WorkerNumbers } from './rendezvous.ts'
import { rankOf } from './weight.ts'

/** Everything is counted in prompt tokens. docs/selection.md says where each number comes from; most are not delicate. */
const price = {
  /** Of a request in flight, whose decoding takes time from prefills. */
  inFlight: 10,
  /** What work done twice costs those who wait: so many times their number per worker is added to its weight of 1. */
  perWaiting: 2,
  /** Parts of the prompt: for leaving home, and what is added as the share of others grows, at the second home and else. */
  away: 0.25,
  second: 0.25,
  elsewhere: 0.5,
} as const
/** Blocks beyond the first one that is not everybody's which are counted too: it may be everybody's soon. */
const countedBeyond = 8
const ratioWeight = 1 / 50
/** Tokens that a worker's cache is taken for when it does not say. */
const usualCacheTokens = 500_000
/** Models whose state is kept: their names come from the pool, so that there are not more. */
const mostModels = 1000

/** What a choice is made by, beside the candidates and the request. */
interface Beside {
  readonly look: Look
  readonly fleet: FleetView
  /** Prompts whose time is up are taken for computed from now on. */
  readonly letPass: boolean
}

/**
 * One price per worker, in uncached prompt tokens; the cheapest one wins, and equal ones take turns:
 *
 *     price = (ahead + 10 x requests in flight) / weight + waiting x (uncached + fee)
 *
 * `ahead` is what the worker must compute before this prompt: this router's own, known exactly, and what others have
 * waiting there, from its metrics. `uncached` is what it must compute for it. The fee is for leaving the prompt's home,
 * which every router computes alike from the first block that is not everybody's (or the client's session): a router
 * that has never seen a prompt sends it where the others would. It grows with the share of the traffic that this router
 * does not see, and falls where prompts do not come again. `waiting` grows with the number of requests that wait:
 * computing something twice delays them all.
 *
 * The choice is the same in every router and process, without a word between them.
 */
export function cacheAware(context: SelectionContext): SelectionPolicy {
  return new CacheAware(context)
}

class CacheAware implements SelectionPolicy {
  readonly reads = { prompt: true, session: true, engine: true }
  why: Why = 'load'
  readonly #now: () => number
  readonly #settings: SelectionSettings
  readonly #index: PrefixIndex
  readonly #fleet: FleetView
  readonly #numbers = new WorkerNumbers()
  readonly #speed = new PrefillSpeed()
  readonly #open = new Map<string, OpenPrompts>()
  readonly #models = new Map<string | undefined, ModelState>()
  #meanTokens = 2000
  #turn: number
  /** Of the last choice, for its booking. */
  #look: Look | undefined
  #uncached = 0

  constructor({ now, random, settings }: SelectionContext) {
    this.#now = now
    // Routers that are started together must not take the same turns.
    this.#turn = Math.floor(random() * 1000)
    this.#settings = settings
    this.#index = new PrefixIndex({ evictionMs: settings.evictionMs, now })
    this.#fleet = new FleetView(now)
  }

  select<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C {
    this.#fleet.read(candidates, this.#meanTokens)
    const look = this.#lookAt(candidates, request, this.#modelOf(request.model))
    look.model.reuse = look.reuse
    look.model.asked = look.asked
    const best = this.#cheapest(candidates, request, { look, fleet: this.#fleet, letPass: true })
    this.#turn += 1
    this.#look = look
    this.#uncached = look.uncachedAt(best.id)
    return best
  }

  preview<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C {
    const fleet = this.#fleet.copy()
    fleet.read(candidates, this.#meanTokens)
    const look = this.#lookAt(candidates, request, this.#models.get(request.model) ?? new ModelState())
    return this.#cheapest(candidates, request, { look, fleet, letPass: false })
  }

  #lookAt(candidates: readonly Candidate[], request: SelectionRequest, model: ModelState): Look {
    const { length: workers } = candidates
    return new Look(request, { model, index: this.#index, workers, meanTokens: this.#meanTokens })
  }

  #cheapest<C extends Candidate>(
    candidates: readonly C[],
    { session }: SelectionRequest,
    { look, fleet, letPass }: Beside,
  ): C {
    const homeKey = session === undefined ? look.keyBlock : hashText(session)
    const isHomed = homeKey !== undefined
    const [home, second] = isHomed ? this.#homes(candidates, homeKey) : []
    const others = fleet.foreignShare
    const fee = isHomed && !this.#isLopsided(candidates) ? look.metAgain(others) * look.tokens : 0
    const fees = {
      second: fee * (price.away + others * price.second),
      elsewhere: fee * (price.away + others * price.elsewhere),
    }
    const waiting = 1 + price.perWaiting * this.#meanWaiting(candidates)
    const now = this.#now()
    const foreignTokens = this.#meanTokens * fleet.missShare
    const turn = this.#turn
    let best = candidates[0]!
    let lowest = Number.POSITIVE_INFINITY
    for (let at = 0; at < candidates.length; at++) {
      const candidate = candidates[(at + turn) % candidates.length]!
      const { id, inFlight, engine, weight } = candidate
      const uncached = look.uncachedAt(id)
      const away = candidate === home ? 0 : candidate === second ? fees.second : fees.elsewhere
      const prompts = this.#open.get(id)
      const own = prompts?.ahead((1 - others) * weight, now) ?? 0
      if (letPass) prompts?.letPass(now)
      const trust = engine === undefined ? 0 : freshness(engine, now)
      const theirs = trust === 0 ? 0 : trust * engine!.foreignWaiting * foreignTokens
      const open = trust === 0 ? inFlight : inFlight + trust * engine!.foreign
      const asked = (own + theirs + price.inFlight * open) / weight + waiting * (uncached + away)
      if (asked >= lowest) continue
      lowest = asked
      best = candidate
    }
    const holdsMore = look.holdsMore(best.id)
    if (!isHomed) this.why = holdsMore ? 'index' : 'load'
    else if (best === home) this.why = session === undefined ? 'affinity' : 'session'
    else this.why = holdsMore ? 'index' : 'spill'
    return best
  }

  book(
    { id, engine, weight }: Candidate,
    { again = false, stream = false, prompt }: SelectionRequest,
  ): Booking {
    const { model, tokens, key } = this.#look!
    this.#look = undefined
    if (prompt !== undefined) {
      if (!again) {
        model.popularity.request()
        const counted = Math.min(prompt.blocks.length, key + countedBeyond)
        for (let at = 0; at < counted; at++) model.popularity.add(prompt.blocks[at]!)
        this.#meanTokens += (tokens - this.#meanTokens) / 50
      }
      const cacheBytes = (engine?.cacheTokens ?? usualCacheTokens) / model.tokensPerByte
      this.#index.learn(id, prompt, Math.min(cacheBytes, this.#settings.maxTreeSize))
    }
    return new OpenPrompt({
      open: this.#openOf(id),
      tokens: this.#uncached,
      expected: prompt === undefined ? undefined : 1 - this.#uncached / tokens,
      seen: stream,
      pace: weight,
    })
  }

  counted(model: string | undefined, bytes: number, tokens: number): void {
    const state = this.#modelOf(model)
    if (bytes > 0) state.tokensPerByte += (tokens / bytes - state.tokensPerByte) * ratioWeight
  }

  forget(id: string): void {
    this.#index.forget(id)
    this.#fleet.forget(id)
    this.#numbers.forget(id)
    this.#open.delete(id)
  }

  #modelOf(name: string | undefined): ModelState {
    let state = this.#models.get(name)
    if (state === undefined) {
      if (this.#models.size >= mostModels) this.#models.clear()
      state = new ModelState()
      this.#models.set(name, state)
    }
    return state
  }

  #openOf(id: string): OpenPrompts {
    let open = this.#open.get(id)
    if (open === undefined) {
      open = new OpenPrompts(this.#speed, this.#now)
      this.#open.set(id, open)
    }
    return open
  }

  /** The first two in rendezvous order (highest random weight): when one leaves, only its own keys move. */
  #homes<C extends Candidate>(candidates: readonly C[], key: number): [C | undefined, C | undefined] {
    let home: C | undefined
    let second: C | undefined
    let highest = -1
    let high = -1
    for (const candidate of candidates) {
      const rank = rankOf(key, this.#numbers.of(candidate.id), candidate.weight)
      if (rank > highest) {
        second = home
        high = highest
        home = candidate
        highest = rank
      } else if (rank > high) {
        second = candidate
        high = rank
      }
    }
    return [home, second]
  }

  #meanWaiting(candidates: readonly Candidate[]): number {
    let waiting = 0
    const now = this.#now()
    for (const { id, engine } of candidates) {
      waiting += this.#open.get(id)?.waiting ?? 0
      if (engine !== undefined) waiting += engine.foreignWaiting * freshness(engine, now)
    }
    return waiting / candidates.length
  }

  /** Somebody leads by more than operators allow: then homes do not count. */
  #isLopsided(candidates: readonly Candidate[]): boolean {
    const { balanceAbs, balanceRel } = this.#settings
    let most = 0
    let least = Number.POSITIVE_INFINITY
    for (const { inFlight } of candidates) {
      if (inFlight > most) most = inFlight
      if (inFlight < least) least = inFlight
    }
    return most - least > balanceAbs && most > least * balanceRel
  }
}
