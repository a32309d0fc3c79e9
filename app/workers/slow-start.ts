import type { Worker } from './worker.ts'

/** Milliseconds for which a worker that has just come back gets no more than its share. */
const durationMs = 10_000

interface Start {
  readonly until: number
  /** Selections made by the pool when the worker joined. */
  readonly since: number
  own: number
}

/**
 * Keeps a policy that looks at load from burying a worker that has just (re)joined with nothing in flight and cold
 * caches: for its first seconds it gets at most as many requests as each other worker gets on average.
 */
export class SlowStart {
  readonly #now: () => number
  readonly #starts = new Map<Worker, Start>()
  #selections = 0

  constructor(now: () => number) {
    this.#now = now
  }

  get selections(): number {
    return this.#selections
  }

  /** The worker can take requests again from now on. */
  begin(worker: Worker): void {
    this.#starts.set(worker, { until: this.#now() + durationMs, since: this.#selections, own: 0 })
  }

  forget(worker: Worker): void {
    this.#starts.delete(worker)
  }

  selected(worker: Worker): void {
    this.#selections += 1
    const start = this.#starts.get(worker)
    if (start !== undefined) start.own += 1
  }

  /** The candidates less those that have had their share; all of them when that would leave nobody. */
  withinShare(candidates: readonly Worker[]): readonly Worker[] {
    if (this.#starts.size === 0) return candidates
    const rest = candidates.filter((worker) => !this.#hasHadItsShare(worker, candidates.length))
    return rest.length > 0 ? rest : candidates
  }

  #hasHadItsShare(worker: Worker, size: number): boolean {
    const start = this.#starts.get(worker)
    if (start === undefined) return false
    if (this.#now() >= start.until) {
      this.#starts.delete(worker)
      return false
    }
    return start.own * size > this.#selections - start.since
  }
}
