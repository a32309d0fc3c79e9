import { FleetView, freshness } from './fleet-view.ts'
import { OpenPrompt, OpenPrompts, PrefillSpeed } from './open-prompts.ts'
import type {
  Booking,
  Candidate,
  PromptChain,
  SelectionContext,
  SelectionPolicy,
  SelectionRequest,
  SelectionSettings,
  Why,
} from './policy.ts'
import { Popularity } from './popularity.ts'
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
/** A block is everybody's when more than this share of one worker's part of the requests have it, and more than so few. */
const everybodys = { share: 0.5, requests: 3 } as const
/** Blocks beyond the first one that is not everybody's which are counted too: it may be everybody's soon. */
const countedBeyond = 8
/** How often keys come again: begun at 1 with so much weight, remembered for so many requests. */
const reuse = { begin: 1, weight: 50, memory: 200 } as const
const leastTokens = 16
/** Tokens of a byte of a request before any answer has told. */
const firstRatio = 0.25
const ratioWeight = 1 / 50
/** Tokens that a worker's cache is taken for when it does not say. */
const usualCacheTokens = 500_000
/** Models whose state is kept: their names come from the pool, so that there are not more. */
const mostModels = 1000

/** What is learnt from the requests of one model. */
class ModelState {
  readonly popularity = new Popularity()
  tokensPerByte = firstRatio
  reuse: number = reuse.begin
  asked: number = reuse.weight
}

/** A request, looked at before its choice, in tokens. */
interface Look {
  readonly model: ModelState
  readonly tokens: number
  readonly prompt: PromptChain | undefined
  /** Blocks before it are everybody's. */
  readonly key: number
  /** First blocks that everybody is believed to hold. */
  readonly common: number
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
    const { prompt, session, again = false } = request
    const model = this.#modelOf(request.model)
    const tokens = Math.max(
      leastTokens,
      prompt === undefined ? this.#meanTokens : prompt.bytes * model.tokensPerByte,
    )
    const blocks = prompt?.blocks ?? []
    const key = firstNotEverybodys(model.popularity, blocks, candidates.length)
    const held = this.#index.look({ blocks })
    const common = Math.min(held, key)
    const seen = held > key
    const hasKey = key < blocks.length
    if (hasKey && !again) {
      model.asked += 1
      model.reuse += ((seen ? 1 : 0) - model.reuse) / Math.min(reuse.memory, model.asked)
    }
    const look: Look = { model, tokens, prompt, key, common }
    const isHomed = hasKey || session !== undefined
    const [home, second] = isHomed
      ? this.#homes(candidates, session === undefined ? blocks[key]! : hashText(session))
      : []
    const fee = isHomed && !this.#isLopsided(candidates) ? this.#again(model, seen) * tokens : 0
    const others = this.#fleet.foreignShare
    const fees = {
      second: fee * (price.away + others * price.second),
      elsewhere: fee * (price.away + others * price.elsewhere),
    }
    const waiting = 1 + price.perWaiting * this.#meanWaiting(candidates)
    const now = this.#now()
    const foreignTokens = this.#meanTokens * this.#fleet.missShare
    const turn = this.#turn++
    let best = candidates[0]!
    let lowest = Number.POSITIVE_INFINITY
    for (let at = 0; at < candidates.length; at++) {
      const candidate = candidates[(at + turn) % candidates.length]!
      const { id, inFlight, engine, weight } = candidate
      const uncached = this.#uncachedAt(id, look)
      const away = candidate === home ? 0 : candidate === second ? fees.second : fees.elsewhere
      const own = this.#open.get(id)?.ahead((1 - others) * weight) ?? 0
      const trust = engine === undefined ? 0 : freshness(engine, now)
      const theirs = trust === 0 ? 0 : trust * engine!.foreignWaiting * foreignTokens
      const open = trust === 0 ? inFlight : inFlight + trust * engine!.foreign
      const asked = (own + theirs + price.inFlight * open) / weight + waiting * (uncached + away)
      if (asked >= lowest) continue
      lowest = asked
      best = candidate
    }
    this.#look = look
    this.#uncached = this.#uncachedAt(best.id, look)
    const holdsMore = blocks.length > 0 && this.#index.depthOf(best.id) > common
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

  #uncachedAt(id: string, { prompt, tokens, model, common }: Look): number {
    if (prompt === undefined || prompt.blocks.length === 0) return tokens
    const held = Math.max(this.#index.depthOf(id), common)
    if (held === 0) return tokens
    return Math.max(leastTokens, tokens - prompt.bytesOf(held) * model.tokensPerByte)
  }

  /** How likely it is that the key is met again. What this router sees seldom, others may see as well. */
  #again({ reuse }: ModelState, seen: boolean): number {
    if (seen) return 1
    return Math.min(1, reuse / Math.sqrt(Math.max(0.05, 1 - this.#fleet.foreignShare)))
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

/** Place of the first block that is not everybody's; the number of blocks where all are. */
function firstNotEverybodys(popularity: Popularity, blocks: ArrayLike<number>, workers: number): number {
  const limit = Math.max(everybodys.requests, (everybodys.share / workers) * popularity.total)
  let at = 0
  while (at < blocks.length && popularity.count(blocks[at]!) > limit) at++
  return at
}
