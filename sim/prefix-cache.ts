/**
 * Simulated prefix cache of vLLM: which blocks of 16 tokens of a prompt were seen before.
 *
 * Like vLLM's automatic prefix caching, a block is known by the hash of its text chained to the hash of all blocks
 * before it, the least recently used blocks go first, and the last token of a prompt is always computed.
 */
export const blockTokens = 16
const blockCharacters = blockTokens * 4

export class PrefixCache {
  private readonly blocks = new Map<number, true>()
  private readonly capacity: number
  /** Prompt tokens looked up so far. */
  queries = 0
  /** Prompt tokens found so far. */
  hits = 0

  /** `capacity` in blocks. */
  constructor(capacity: number) {
    this.capacity = capacity
  }

  /** Looks the prompt up, remembers its blocks, and returns how many of its tokens were held. */
  admit(model: string, prompt: string, promptTokens: number): number {
    const full = Math.floor(prompt.length / blockCharacters)
    let hash = chain(0x811c9dc5, model, 0, model.length)
    let held = 0
    for (let block = 0; block < full; block++) {
      hash = chain(hash, prompt, block * blockCharacters, (block + 1) * blockCharacters)
      if (this.blocks.delete(hash) && held === block) held++
      this.blocks.set(hash, true)
    }
    this.evict()
    const cached = Math.min(held, Math.floor((promptTokens - 1) / blockTokens)) * blockTokens
    this.queries += promptTokens
    this.hits += cached
    return cached
  }

  /** Forgets all blocks; the counters stay. */
  reset(): void {
    this.blocks.clear()
  }

  private evict(): void {
    for (const oldest of this.blocks.keys()) {
      if (this.blocks.size <= this.capacity) return
      this.blocks.delete(oldest)
    }
  }
}

/** Two 32-bit multiplicative hashes in step, joined to 53 bits, so that a collision never shows up in a test. */
function chain(seed: number, text: string, from: number, to: number): number {
  let low = seed >>> 0
  let high = (seed / 4294967296) >>> 0
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i)
    low = Math.imul(low ^ code, 0x01000193)
    high = Math.imul(high ^ code, 0x5bd1e995) ^ (high >>> 13)
  }
  return ((high >>> 0) & 0x1fffff) * 4294967296 + (low >>> 0)
}
