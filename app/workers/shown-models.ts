/** Names of either kind that are kept; no server has so many, but some take any name. */
const maxNames = 100

/** What a worker that does not list its models has shown of them by its answers. */
export class ShownModels {
  readonly #has = new Set<string>()
  readonly #lacks = new Set<string>()

  /** Those that it has answered for. */
  get names(): ReadonlySet<string> {
    return this.#has
  }

  lacks(model: string): boolean {
    return this.#lacks.has(model)
  }

  /** Returns true when that is news. */
  learn(model: string, has: boolean): boolean {
    const [to, from] = has ? [this.#has, this.#lacks] : [this.#lacks, this.#has]
    const moved = from.delete(model)
    if (to.has(model) || to.size >= maxNames) return moved
    to.add(model)
    return true
  }

  /** Returns true when there was something to forget. */
  forgetLacking(): boolean {
    const some = this.#lacks.size > 0
    this.#lacks.clear()
    return some
  }
}
