const periodMs = 100

/**
 * How late timers fire: the time for which the one thread of this process was busy with something else. Measured by a
 * timer of its own, since the runtimes' monitors differ.
 */
export class EventLoopLag {
  #due = 0
  #worstMs = 0
  #timer: ReturnType<typeof setInterval> | undefined

  start(): void {
    if (this.#timer !== undefined) return
    this.#due = performance.now() + periodMs
    this.#timer = setInterval(() => {
      const now = performance.now()
      this.#worstMs = Math.max(this.#worstMs, now - this.#due)
      this.#due = now + periodMs
    }, periodMs)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** The longest lag since the last call, in seconds. */
  takeWorst(): number {
    const worst = this.#worstMs / 1000
    this.#worstMs = 0
    return worst
  }
}
