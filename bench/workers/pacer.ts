/**
 * One timer for many streams. Each is served at its own times, start + n x period, exact on average: what a late tick has
 * missed is made up at once.
 */
export class Pacer {
  readonly #now: () => number
  readonly #due = new Map<number, Entry[]>()
  #served: number
  #timer: ReturnType<typeof setInterval> | undefined
  #entries = 0

  /** @param now milliseconds */
  constructor(now: () => number) {
    this.#now = now
    this.#served = 0
  }

  /** Calls `serve` at the next millisecond and then every `period` milliseconds, until the returned function is called. */
  every(period: number, serve: () => void): () => void {
    const entry: Entry = { period, serve, active: true }
    if (this.#entries++ === 0) this.#start()
    this.#add(Math.max(this.#served, Math.floor(this.#now())) + 1, entry)
    return () => {
      if (!entry.active) return
      entry.active = false
      if (--this.#entries === 0) this.#stop()
    }
  }

  #start(): void {
    this.#served = Math.floor(this.#now())
    this.#timer = setInterval(() => this.#tick(), 1)
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#due.clear()
  }

  #tick(): void {
    const until = Math.floor(this.#now())
    while (this.#served < until) {
      const time = ++this.#served
      const entries = this.#due.get(time)
      if (entries === undefined) continue
      this.#due.delete(time)
      for (const entry of entries) {
        if (entry.active) entry.serve()
        if (entry.active) this.#add(time + entry.period, entry)
      }
    }
  }

  #add(time: number, entry: Entry): void {
    const entries = this.#due.get(time)
    if (entries === undefined) this.#due.set(time, [entry])
    else entries.push(entry)
  }
}

interface Entry {
  readonly period: number
  readonly serve: () => void
  active: boolean
}
