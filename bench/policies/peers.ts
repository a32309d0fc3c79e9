/**
 * How others choose, restated from their documentation on the same facts, to be compared with. They are no products: each
 * is the idea in a few lines.
 */

import type {
  Booking,
  Candidate,
  SelectionPolicy,
  SelectionRequest,
} from '../../policies/selection/policy.ts'
import { PrefixIndex } from '../../policies/selection/prefix-index.ts'
import { hashText, mix } from '../../policies/selection/rendezvous.ts'

interface PeerContext {
  readonly random: () => number
  readonly now: () => number
}

const tokensPerByte = 0.25
const cacheBytes = (1_000_000 / tokensPerByte) | 0

/** Tokens that this router has open at a worker, and those of their prompts that are still to be computed. */
class OpenTokens {
  readonly #all = new Map<string, number>()
  readonly #uncached = new Map<string, number>()

  all = (id: string): number => this.#all.get(id) ?? 0
  uncached = (id: string): number => this.#uncached.get(id) ?? 0

  book(id: string, tokens: number, uncached: number): Booking {
    const add = (map: Map<string, number>, count: number) => map.set(id, (map.get(id) ?? 0) + count)
    add(this.#all, tokens)
    add(this.#uncached, uncached)
    let waiting = true
    const computed = (): void => {
      if (waiting) add(this.#uncached, -uncached)
      waiting = false
    }
    const end = (): void => {
      computed()
      add(this.#all, -tokens)
    }
    return { firstToken: computed, end }
  }
}

/** What the policies with an index of their own have in common. */
abstract class Indexed implements SelectionPolicy {
  protected readonly index: PrefixIndex
  protected readonly open = new OpenTokens()
  readonly #capacity: number
  #turn = 0

  constructor({ now }: PeerContext, capacity = cacheBytes) {
    this.index = new PrefixIndex({ evictionMs: 0, now })
    this.#capacity = capacity
  }

  select<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C {
    this.index.look(request.prompt ?? { blocks: [] })
    return this.choose(candidates, request)
  }

  abstract choose<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C

  book({ id }: Candidate, { prompt }: SelectionRequest): Booking {
    const tokens = (prompt?.bytes ?? 0) * tokensPerByte
    const uncached = Math.max(16, tokens - this.heldTokens(id, prompt))
    if (prompt !== undefined) this.index.learn(id, prompt, this.#capacity)
    return this.open.book(id, tokens, uncached)
  }

  forget(id: string): void {
    this.index.forget(id)
  }

  protected heldTokens(id: string, prompt: SelectionRequest['prompt']): number {
    return (prompt?.bytesOf(this.index.depthOf(id)) ?? 0) * tokensPerByte
  }

  /** The share of the prompt that a worker holds. */
  protected share(id: string, prompt: SelectionRequest['prompt']): number {
    return prompt === undefined ? 0 : prompt.bytesOf(this.index.depthOf(id)) / prompt.bytes
  }

  /** The one with the least of something; equal ones take turns. */
  protected least<C extends Candidate>(candidates: readonly C[], of: (candidate: C) => number): C {
    const turn = this.#turn++
    let best = candidates[0]!
    let lowest = Number.POSITIVE_INFINITY
    for (let at = 0; at < candidates.length; at++) {
      const candidate = candidates[(at + turn) % candidates.length]!
      const value = of(candidate)
      if (value >= lowest) continue
      lowest = value
      best = candidate
    }
    return best
  }
}

/** vLLM Router, SGLang gateway: the worker with most of the prompt above 0.3, unless loads are 64 and 1.5 times apart. */
class TreeAndBalance extends Indexed {
  constructor(context: PeerContext) {
    // Its tree is as good as never evicted from.
    super(context, 30 * cacheBytes)
  }

  choose<C extends Candidate>(candidates: readonly C[], { prompt }: SelectionRequest): C {
    const loads = candidates.map(({ inFlight }) => inFlight)
    const [most, fewest] = [Math.max(...loads), Math.min(...loads)]
    if (most - fewest > 64 && most > 1.5 * fewest) return this.least(candidates, ({ inFlight }) => inFlight)
    const best = candidates.reduce((a, b) => (this.index.depthOf(b.id) > this.index.depthOf(a.id) ? b : a))
    return this.share(best.id, prompt) > 0.3 ? best : this.least(candidates, ({ id }) => this.open.all(id))
  }
}

/** llm-d: workers with 0.8 of the prompt unless their queue is 18 s longer; of these the one with least tokens in flight. */
class AffinityAndTokens extends Indexed {
  readonly #random: () => number

  constructor(context: PeerContext) {
    super(context)
    this.#random = context.random
  }

  choose<C extends Candidate>(candidates: readonly C[], { prompt }: SelectionRequest): C {
    const holders = candidates.filter(({ id }) => this.share(id, prompt) >= 0.8)
    const others = candidates.filter((one) => !holders.includes(one))
    const queue = (list: readonly C[]) => Math.min(...list.map(({ id }) => this.open.uncached(id))) / 8000
    const isTooLong = others.length > 0 && holders.length > 0 && queue(holders) - queue(others) > 18
    const stays = holders.length > 0 && this.#random() >= 0.01 && !isTooLong
    return this.least(stays ? holders : candidates, ({ id }) => this.open.all(id))
  }
}

/** Uncached tokens times requests, as proposed for llm-d. */
class TokensTimesRequests extends Indexed {
  choose<C extends Candidate>(candidates: readonly C[], { prompt }: SelectionRequest): C {
    const tokens = (prompt?.bytes ?? 0) * tokensPerByte
    return this.least(candidates, ({ id, inFlight }) => {
      const uncached = Math.max(16, tokens - this.heldTokens(id, prompt))
      return (this.open.uncached(id) + uncached) * (inFlight + 1)
    })
  }
}

/** KubeAI: a hash of the beginning, the next in order while one has 125% of the mean. */
function beginningBounded(): SelectionPolicy {
  return {
    select<C extends Candidate>(candidates: readonly C[], { prompt }: SelectionRequest): C {
      const key = prompt?.blocks[0] ?? 0
      const order = candidates
        .map((candidate) => ({ candidate, rank: mix(key, hashText(candidate.id)) }))
        .toSorted((a, b) => b.rank - a.rank)
      const open = candidates.reduce((sum, { inFlight }) => sum + inFlight, 0)
      const bound = Math.max(1, (1.25 * (open + 1)) / candidates.length)
      return (order.find(({ candidate }) => candidate.inFlight + 1 <= bound) ?? order[0]!).candidate
    },
  }
}

export const peers: Readonly<Record<string, (context: PeerContext) => SelectionPolicy>> = {
  'tree and balance (vLLM Router, SGLang)': (context) => new TreeAndBalance(context),
  'affinity and tokens (llm-d)': (context) => new AffinityAndTokens(context),
  'tokens times requests': (context) => new TokensTimesRequests(context),
  'bounded hash of the beginning (KubeAI)': beginningBounded,
}
