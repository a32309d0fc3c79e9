interface Timer {
  readonly id: number
  readonly due: number
  readonly fn: () => void
}

/** Timers that may fire in one step. */
const mostFired = 100_000

/** A clock that moves only when told. Timers due at the same moment fire in the order in which they were set. */
export class ManualClock {
  #now = 0
  #nextId = 1
  #timers: Timer[] = []

  now(): number {
    return this.#now
  }

  setTimeout(fn: () => void, ms: number): unknown {
    const timer = { id: this.#nextId++, due: this.#now + ms, fn }
    this.#timers.push(timer)
    return timer.id
  }

  clearTimeout(id: unknown): void {
    this.#timers = this.#timers.filter((timer) => timer.id !== id)
  }

  /** Timers set and neither fired nor cleared. */
  get pending(): number {
    return this.#timers.length
  }

  advance(ms: number): void {
    const end = this.#now + ms
    let fired = 0
    for (let next = this.#nextUntil(end); next !== undefined; next = this.#nextUntil(end)) {
      this.#now = Math.max(this.#now, next.due)
      this.clearTimeout(next.id)
      // A timer that sets itself anew for the same moment would keep the test from its end.
      if (++fired > mostFired) throw new Error(`more than ${mostFired} timers were due within ${ms} ms`)
      next.fn()
    }
    this.#now = end
  }

  /** Time goes by and no timer fires, as while the process is too busy: those due fire late, with the next step. */
  stall(ms: number): void {
    this.#now += ms
  }

  /** The first of the timers due by then. They stand in the order in which they were set. */
  #nextUntil(end: number): Timer | undefined {
    let next: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.due <= end && (next === undefined || timer.due < next.due)) next = timer
    }
    return next
  }
}
