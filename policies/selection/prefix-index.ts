import type { PromptChain } from './policy.ts'
import { RecentBlocks } from './recent-blocks.ts'

export interface PrefixIndexOptions {
  /** Milliseconds between two evictions; in between, a worker's part may be a tenth too large. */
  readonly evictionMs: number
  readonly now: () => number
  /** Blocks of all workers together. Default 1,000,000: some 100 MB. */
  readonly maxBlocks?: number
}

/** What one worker is believed to hold. */
interface Part {
  readonly slot: number
  readonly blocks: RecentBlocks
  evictedAt: number
}

/** One worker, or several. */
type Holders = number | number[]

/**
 * Which worker is believed to hold which blocks: those that were sent to it, the least recently used forgotten first. A
 * part is as large as the worker's own cache; what it had to drop itself need not be remembered.
 */
export class PrefixIndex {
  readonly #options: PrefixIndexOptions
  readonly #holders = new Map<number, Holders>()
  readonly #parts = new Map<string, Part>()
  /** By slot: the worker there is believed to hold so many blocks of the chain that was looked up last. */
  readonly #depths: number[] = []
  readonly #freeSlots: number[] = []
  /** Slots whose depth is not 0. */
  #touched: number[] = []
  #blocks = 0

  constructor(options: PrefixIndexOptions) {
    this.#options = options
  }

  /** Blocks that are remembered, each once for every worker. */
  get size(): number {
    return this.#blocks
  }

  /** Looks a chain up: `depthOf` speaks of it from now on. Returns how many of its first blocks anybody holds. */
  look({ blocks }: Pick<PromptChain, 'blocks'>): number {
    const depths = this.#depths
    for (const slot of this.#touched) depths[slot] = 0
    this.#touched = []
    let held = 0
    let deepest = true
    for (let at = 0; at < blocks.length; at++) {
      const holders = this.#holders.get(blocks[at]!)
      if (holders === undefined) break
      held = at + 1
      if (!deepest) continue
      deepest = false
      if (typeof holders === 'number') deepest = this.#deepen(holders, at)
      else for (const slot of holders) if (this.#deepen(slot, at)) deepest = true
    }
    return held
  }

  #deepen(slot: number, at: number): boolean {
    if (this.#depths[slot] !== at) return false
    if (at === 0) this.#touched.push(slot)
    this.#depths[slot] = at + 1
    return true
  }

  /** How many of the first blocks of the last chain this worker is believed to hold. */
  depthOf(id: string): number {
    const part = this.#parts.get(id)
    return part === undefined ? 0 : this.#depths[part.slot]!
  }

  /**
   * The chain has been sent to this worker.
   * @param capacity bytes that its cache holds
   */
  learn(id: string, chain: PromptChain, capacity: number): void {
    const part = this.#parts.get(id) ?? this.#enter(id)
    const { blocks } = chain
    // The beginning is used last: of a chain, the end is forgotten first.
    for (let at = blocks.length - 1; at >= 0; at--) {
      const bytes = chain.bytesOf(at + 1) - chain.bytesOf(at)
      if (part.blocks.use(blocks[at]!, bytes)) this.#hold(blocks[at]!, part.slot)
    }
    this.#evict(part, capacity)
  }

  /** The worker is gone, or has been started anew. */
  forget(id: string): void {
    const part = this.#parts.get(id)
    if (part === undefined) return
    this.#parts.delete(id)
    for (const block of part.blocks.blocks()) this.#drop(block, part.slot)
    this.#depths[part.slot] = 0
    this.#freeSlots.push(part.slot)
  }

  #enter(id: string): Part {
    const slot = this.#freeSlots.pop() ?? this.#depths.push(0) - 1
    this.#depths[slot] = 0
    const part = { slot, blocks: new RecentBlocks(), evictedAt: this.#options.now() }
    this.#parts.set(id, part)
    return part
  }

  #evict(part: Part, capacity: number): void {
    const { evictionMs, now, maxBlocks = 1_000_000 } = this.#options
    const most = Math.max(1, Math.floor(maxBlocks / this.#parts.size))
    const { blocks } = part
    if (blocks.bytes <= capacity && blocks.size <= most) return
    const isDue = now() - part.evictedAt >= evictionMs
    if (!isDue && blocks.bytes <= capacity * 1.1 && blocks.size <= most * 1.1) return
    part.evictedAt = now()
    while (blocks.bytes > capacity || blocks.size > most) {
      const block = blocks.dropOldest()
      if (block === undefined) return
      this.#drop(block, part.slot)
    }
  }

  #hold(block: number, slot: number): void {
    this.#blocks += 1
    const holders = this.#holders.get(block)
    if (holders === undefined) this.#holders.set(block, slot)
    else if (typeof holders === 'number') this.#holders.set(block, [holders, slot])
    else holders.push(slot)
  }

  #drop(block: number, slot: number): void {
    this.#blocks -= 1
    const holders = this.#holders.get(block)
    if (typeof holders !== 'object') {
      this.#holders.delete(block)
      return
    }
    holders.splice(holders.indexOf(slot), 1)
    if (holders.length === 1) this.#holders.set(block, holders[0]!)
  }
}
