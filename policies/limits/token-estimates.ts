/** Tokens of a byte of a request before any answer has told. */
const firstRatio = 0.25
/** Tokens of an answer whose length the request does not bound, before any has told. */
const firstCompletion = 256
/** Milliseconds of one token of an answer, its prefill included, before any answer has told. */
const firstPaceMs = 20
/** How much of what was learnt stays with each further answer: the last 500 or so count. */
const memory = 0.998
/** Models of which something is kept; those that come later share one memory. */
const mostModels = 1000
/** By the power of two of their size: a request with a picture has other bytes than one of text. */
const sizes = 32

/** What was learnt from the answers of one model. */
class ModelEstimates {
  /** Of each size of request: tokens and bytes, the older ones counted less. */
  readonly #tokens = new Float64Array(sizes)
  readonly #bytes = new Float64Array(sizes)
  #allTokens = 0
  #allBytes = 0
  #completions = 0
  #answers = 0
  /** Of answers of which it is known how long they took: milliseconds and tokens. */
  #ms = 0
  #written = 0

  prompt(bytes: number): number {
    const size = sizeOf(bytes)
    if (this.#bytes[size]! > 0) return (bytes * this.#tokens[size]!) / this.#bytes[size]!
    return bytes * (this.#allBytes > 0 ? this.#allTokens / this.#allBytes : firstRatio)
  }

  get completion(): number {
    return this.#answers > 0 ? this.#completions / this.#answers : firstCompletion
  }

  /** Tokens of an answer that has been waited for so long. */
  writtenIn(ms: number): number {
    return this.#ms > 0 ? (ms * this.#written) / this.#ms : ms / firstPaceMs
  }

  learnPace(ms: number, completion: number): void {
    this.#ms = this.#ms * memory + ms
    this.#written = this.#written * memory + completion
  }

  learn(bytes: number, prompt: number, completion: number): void {
    const size = sizeOf(bytes)
    this.#tokens[size] = this.#tokens[size]! * memory + prompt
    this.#bytes[size] = this.#bytes[size]! * memory + bytes
    this.#allTokens = this.#allTokens * memory + prompt
    this.#allBytes = this.#allBytes * memory + bytes
    this.#completions = this.#completions * memory + completion
    this.#answers = this.#answers * memory + 1
  }
}

function sizeOf(bytes: number): number {
  return 31 - Math.clz32(bytes | 1)
}

/** How many tokens a request will take: from its bytes, by what the workers have counted before. */
export class TokenEstimates {
  readonly #models = new Map<string, ModelEstimates>()
  readonly #others = new ModelEstimates()

  /** @param model as the request names it */
  prompt(model: string | undefined, bytes: number): number {
    return Math.round(this.#of(model).prompt(bytes))
  }

  /** Of a request that does not say how long its answer may be. */
  completion(model: string | undefined): number {
    return Math.round(this.#of(model).completion)
  }

  /**
   * What a worker has counted.
   * @param model undefined where the name is not one that is known: a client's own word gets no memory of its own
   */
  learn(model: string | undefined, bytes: number, prompt: number, completion: number): void {
    this.#memoryFor(model).learn(bytes, prompt, completion)
  }

  /**
   * How many tokens a worker writes in that time, its prefill included: of an answer of which nobody got to see anything.
   * @param most that it may write
   */
  writtenIn(model: string | undefined, ms: number, most: number): number {
    return Math.min(most, Math.round(this.#of(model).writtenIn(ms)))
  }

  /** How long a worker took for an answer: milliseconds from the request to its end. */
  learnPace(model: string | undefined, ms: number, completion: number): void {
    if (ms > 0 && completion > 0) this.#memoryFor(model).learnPace(ms, completion)
  }

  #memoryFor(model: string | undefined): ModelEstimates {
    if (model === undefined) return this.#others
    const known = this.#models.get(model)
    if (known !== undefined) return known
    if (this.#models.size >= mostModels) return this.#others
    const added = new ModelEstimates()
    this.#models.set(model, added)
    return added
  }

  #of(model: string | undefined): ModelEstimates {
    return (model === undefined ? undefined : this.#models.get(model)) ?? this.#others
  }
}
