const slices = 10

/** How often something happened within the last `windowMs`, in steps of a tenth of the window; constant memory. */
export class SlidingCount {
  readonly #sliceMs: number
  readonly #now: () => number
  readonly #counts = new Float64Array(slices)
  #slice = 0

  /** @param now milliseconds, monotonic */
  constructor(windowMs: number, now: () => number) {
    this.#sliceMs = windowMs / slices
    this.#now = now
  }

  add(): void {
    const slice = this.#advance()
    this.#counts[slice % slices]! += 1
  }

  get total(): number {
    this.#advance()
    let total = 0
    for (const count of this.#counts) total += count
    return total
  }

  clear(): void {
    this.#counts.fill(0)
  }

  /** Empties the slices that time has passed since the last call. */
  #advance(): number {
    const slice = Math.floor(this.#now() / this.#sliceMs)
    for (let stale = Math.max(this.#slice + 1, slice - slices + 1); stale <= slice; stale++) {
      this.#counts[stale % slices] = 0
    }
    this.#slice = slice
    return slice
  }
}
