import { TimeQueue } from './time-queue.ts'

/** What one simulated server is like. */
export interface EngineSpec {
  /** KV memory, in blocks, and the tokens of one block. */
  readonly blocks: number
  readonly blockTokens: number
  /** Tokens a second of prefill, and tokens that one step takes (chunked prefill). */
  readonly prefill: number
  readonly budget: number
  /** Seconds of a step without prefill: so many, and so many more for each request that decodes. */
  readonly stepSeconds: number
  readonly secondsPerDecode: number
  /** Requests that decode at a time. */
  readonly maxBatch: number
}

/** One request of a workload. */
export interface SimulatedRequest {
  /** When it arrives, in seconds. */
  at: number
  /** Names of the blocks of its prompt: equal beginnings have equal names. */
  readonly blocks: readonly number[]
  /** Tokens of the prompt, and of the answer. */
  readonly promptTokens: number
  readonly answerTokens: number
  readonly session?: string | number | undefined
  /** It comes so many seconds after the answer to that request (its place in the workload). */
  readonly after?: number
  readonly think?: number
}

/**
 * A server in closed form: first come, first served, one prefill at a time beside the decoding of the others, and a
 * prefix cache of whatever memory nobody runs in, the least recently used dropped first. Between two events every rate
 * is constant, so that it moves from one to the next in one step.
 */
export class Engine<R extends SimulatedRequest> {
  readonly #spec: EngineSpec
  alive = true
  /** Prompt tokens computed, and found in the cache. */
  computed = 0
  found = 0
  /** Grows with every change: what was foretold before it is no longer true. */
  version = 0
  #time = 0
  readonly queue: R[] = []
  current: R | undefined
  /** Tokens of the current prefill that are still to be computed. */
  #left = 0
  #decoding = new TimeQueue<R>()
  /** Steps made since the start; a request ends at a number of them. */
  #steps = 0
  /** Blocks in use, by how many requests; and free ones, the one used last is the last. */
  readonly #pinned = new Map<number, number>()
  readonly #free = new Map<number, true>()
  /** Blocks that answers take up. */
  #answerBlocks = 0

  constructor(spec: EngineSpec) {
    this.#spec = spec
  }

  get waiting(): number {
    return this.queue.length
  }

  get running(): number {
    return this.#decoding.size + (this.current === undefined ? 0 : 1)
  }

  get cacheTokens(): number {
    return this.#spec.blocks * this.#spec.blockTokens
  }

  #stepSeconds(): number {
    const { stepSeconds, secondsPerDecode, budget, prefill } = this.#spec
    const decoding = this.#decoding.size
    const prefilling = this.current === undefined ? 0 : (budget - decoding) / prefill
    return stepSeconds + secondsPerDecode * decoding + prefilling
  }

  /** Moves on to that time; nothing may be foretold to happen before it. */
  advance(now: number): void {
    const seconds = now - this.#time
    this.#time = now
    if (seconds === 0 || this.running === 0) return
    const steps = seconds / this.#stepSeconds()
    if (this.current !== undefined) this.#left -= steps * (this.#spec.budget - this.#decoding.size)
    this.#steps += steps
  }

  /** When its next prefill or answer is over. */
  nextAt(): number {
    const step = this.#stepSeconds()
    const decoding = this.#decoding.size
    const prefill =
      this.current === undefined
        ? Number.POSITIVE_INFINITY
        : (this.#left * step) / (this.#spec.budget - decoding)
    const first = this.#decoding.first
    const answer = first === undefined ? Number.POSITIVE_INFINITY : (first.at - this.#steps) * step
    return this.#time + Math.max(0, Math.min(prefill, answer))
  }

  /** The prefill that is over now, if one is; its answer begins. */
  takePrefilled(): R | undefined {
    const done = this.current
    if (done === undefined || this.#left >= 1e-6) return undefined
    this.current = undefined
    if (done.answerTokens > 1) this.#decoding.push(this.#steps + done.answerTokens - 1, done)
    else this.#release(done)
    return done
  }

  /** The next answer that is over now. */
  takeAnswered(): R | undefined {
    const first = this.#decoding.first
    if (first === undefined || first.at - this.#steps >= 1e-6) return undefined
    const { value } = this.#decoding.pop()
    this.#release(value)
    return value
  }

  /** Starts the next prefill if a place and the memory allow it. */
  admit(): void {
    const next = this.queue[0]
    const { blocks, blockTokens, maxBatch } = this.#spec
    if (this.current !== undefined || next === undefined || this.#decoding.size >= maxBatch) return
    const answer = this.#answerBlocksOf(next)
    const fresh = next.blocks.filter((block) => !this.#pinned.has(block)).length
    const isFull = this.#pinned.size + this.#answerBlocks + fresh + answer > blocks
    if (this.#decoding.size > 0 && isFull) return
    this.queue.shift()
    // The last token is always computed.
    const held = Math.min(this.held(next.blocks), Math.floor((next.promptTokens - 1) / blockTokens))
    this.#pin(next.blocks)
    this.#answerBlocks += answer
    this.#evict()
    this.current = next
    this.#left = next.promptTokens - held * blockTokens
    this.computed += this.#left
    this.found += held * blockTokens
  }

  /** How many of the first blocks it has. */
  held(blocks: readonly number[]): number {
    let count = 0
    while (count < blocks.length && (this.#pinned.has(blocks[count]!) || this.#free.has(blocks[count]!)))
      count++
    return count
  }

  /** It dies. Returns those that had no token yet, and those that had. */
  lose(now: number): { readonly unanswered: R[]; readonly cut: R[] } {
    const unanswered = [...(this.current === undefined ? [] : [this.current]), ...this.queue]
    const cut: R[] = []
    while (this.#decoding.size > 0) cut.push(this.#decoding.pop().value)
    this.restart(now)
    this.alive = false
    return { unanswered, cut }
  }

  /** It is there again, with nothing in its memory. */
  restart(now: number): void {
    this.alive = true
    this.queue.length = 0
    this.current = undefined
    this.#left = 0
    this.#decoding = new TimeQueue()
    this.#steps = 0
    this.#pinned.clear()
    this.#free.clear()
    this.#answerBlocks = 0
    this.#time = now
    this.version += 1
  }

  #answerBlocksOf({ answerTokens }: R): number {
    return Math.ceil(answerTokens / this.#spec.blockTokens)
  }

  #pin(blocks: readonly number[]): void {
    for (const block of blocks) {
      const users = this.#pinned.get(block) ?? 0
      if (users === 0) this.#free.delete(block)
      this.#pinned.set(block, users + 1)
    }
  }

  #evict(): void {
    let over = this.#pinned.size + this.#free.size + this.#answerBlocks - this.#spec.blocks
    for (const block of this.#free.keys()) {
      if (over-- <= 0) break
      this.#free.delete(block)
    }
  }

  /** The deepest block first, so that it is evicted first. */
  #release(request: R): void {
    for (const block of request.blocks.toReversed()) {
      const users = this.#pinned.get(block) ?? 0
      if (users > 1) {
        this.#pinned.set(block, users - 1)
      } else {
        this.#pinned.delete(block)
        this.#free.set(block, true)
      }
    }
    this.#answerBlocks -= this.#answerBlocksOf(request)
  }
}
