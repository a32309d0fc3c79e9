interface Timer {
  readonly id: number
  readonly due: number
  readonly fn: () => void
}

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
    for (;;) {
      const due = this.#timers.filter((timer) => timer.due <= end)
      const [next] = due.sort((a, b) => a.due - b.due || a.id - b.id)
      if (next === undefined) break
      this.#now = next.due
      this.clearTimeout(next.id)
      next.fn()
    }
    this.#now = end
  }
}
