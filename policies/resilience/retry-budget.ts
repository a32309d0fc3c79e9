import { SlidingCount } from './sliding-count.ts'

export interface RetryBudgetOptions {
  /** Retries allowed per request of the window, for example 0.2. */
  readonly ratio: number
  /** Retries a second that are always allowed, so that a quiet router may retry too. */
  readonly minimumPerSecond: number
  /** Milliseconds, monotonic. */
  readonly now: () => number
}

const windowSeconds = 10

/**
 * A count forgets in steps of a tenth of its window, so it remembers at least nine tenths. Retries are remembered for the
 * whole ten seconds at least: else each step would give back a second's worth too early, 13 a second instead of 10.
 */
const retryMemoryMs = (windowSeconds * 1000 * 10) / 9

/**
 * Keeps retries from multiplying an outage: over any ten seconds at most `ratio` of the requests plus a minimum.
 * The idea is Finagle's retry budget (its user guide, "Clients / Retries"); here with counts instead of a token balance.
 */
export class RetryBudget {
  #options: RetryBudgetOptions
  readonly #requests: SlidingCount
  readonly #retries: SlidingCount

  constructor(options: RetryBudgetOptions) {
    this.#options = options
    this.#requests = new SlidingCount(windowSeconds * 1000, options.now)
    this.#retries = new SlidingCount(retryMemoryMs, options.now)
  }

  /** What has been counted until now stays counted. */
  reconfigure(changes: Pick<RetryBudgetOptions, 'ratio' | 'minimumPerSecond'>): void {
    this.#options = { ...this.#options, ...changes }
  }

  /** Call once for each client request that is relayed. */
  deposit(): void {
    this.#requests.add()
  }

  /** Takes one retry out of the budget; false when there is none left. */
  withdraw(): boolean {
    const { ratio, minimumPerSecond } = this.#options
    const allowed = this.#requests.total * ratio + minimumPerSecond * windowSeconds
    if (this.#retries.total + 1 > allowed) return false
    this.#retries.add()
    return true
  }
}
