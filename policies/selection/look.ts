import type { PromptChain, SelectionRequest } from './policy.ts'
import { Popularity } from './popularity.ts'
import type { PrefixIndex } from './prefix-index.ts'

/** A block is everybody's when more than this share of one worker's part of the requests have it, and more than so few. */
const everybodys = { share: 0.5, requests: 3 } as const
/** How often keys come again: begun at 1 with so much weight, remembered for so many requests. */
const reuse = { begin: 1, weight: 50, memory: 200 } as const
const leastTokens = 16
/** Tokens of a byte of a request before any answer has told. */
const firstRatio = 0.25

/** What is learnt from the requests of one model. */
export class ModelState {
  readonly popularity = new Popularity()
  tokensPerByte = firstRatio
  reuse: number = reuse.begin
  asked: number = reuse.weight
}

export interface LookOptions {
  readonly model: ModelState
  readonly index: PrefixIndex
  /** How many there are to choose from. */
  readonly workers: number
  /** Of this router's prompts: what a request without a prompt is taken for. */
  readonly meanTokens: number
}

/** A request, looked at before its choice, in tokens. To look changes nothing but what the index was asked last. */
export class Look {
  readonly model: ModelState
  readonly tokens: number
  readonly prompt: PromptChain | undefined
  /** Blocks before it are everybody's. */
  readonly key: number
  /** First blocks that everybody is believed to hold. */
  readonly common: number
  /** Somebody is believed to hold the key. */
  readonly seen: boolean
  /** What those of the model are with this request. */
  readonly reuse: number
  readonly asked: number
  readonly #index: PrefixIndex

  constructor({ prompt, again = false }: SelectionRequest, options: LookOptions) {
    const { model, index, workers, meanTokens } = options
    const blocks = prompt?.blocks ?? []
    const key = firstNotEverybodys(model.popularity, blocks, workers)
    const held = index.look({ blocks })
    const counts = key < blocks.length && !again
    this.#index = index
    this.model = model
    this.tokens = Math.max(
      leastTokens,
      prompt === undefined ? meanTokens : prompt.bytes * model.tokensPerByte,
    )
    this.prompt = prompt
    this.key = key
    this.common = Math.min(held, key)
    this.seen = held > key
    this.asked = counts ? model.asked + 1 : model.asked
    const news = counts ? (this.seen ? 1 : 0) - model.reuse : 0
    this.reuse = model.reuse + news / Math.min(reuse.memory, this.asked)
  }

  /** The number of the block that tells where the prompt is at home; undefined where it has none. */
  get keyBlock(): number | undefined {
    return this.prompt?.blocks[this.key]
  }

  /** Tokens that this worker would have to compute. */
  uncachedAt(id: string): number {
    const { prompt, tokens } = this
    if (prompt === undefined || prompt.blocks.length === 0) return tokens
    const held = Math.max(this.#index.depthOf(id), this.common)
    if (held === 0) return tokens
    return Math.max(leastTokens, tokens - prompt.bytesOf(held) * this.model.tokensPerByte)
  }

  /** This worker is believed to hold more of the prompt than everybody does. */
  holdsMore(id: string): boolean {
    const blocks = this.prompt?.blocks.length ?? 0
    return blocks > 0 && this.#index.depthOf(id) > this.common
  }

  /**
   * How likely it is that the key is met again, 0 to 1. What this router sees seldom, others may see as well.
   * @param foreignShare share of the fleet's requests that are not this router's
   */
  metAgain(foreignShare: number): number {
    return this.seen ? 1 : Math.min(1, this.reuse / Math.sqrt(Math.max(0.05, 1 - foreignShare)))
  }
}

/** Place of the first block that is not everybody's; the number of blocks where all are. */
function firstNotEverybodys(popularity: Popularity, blocks: ArrayLike<number>, workers: number): number {
  const limit = Math.max(everybodys.requests, (everybodys.share / workers) * popularity.total)
  let at = 0
  while (at < blocks.length && popularity.count(blocks[at]!) > limit) at++
  return at
}
