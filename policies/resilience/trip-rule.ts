import { CircuitState, type IBreaker } from 'cockatiel'
import { SlidingCount } from './sliding-count.ts'

export interface TripRuleOptions {
  /** Failures in a row that open. */
  readonly consecutive: number
  /** Share of failures within the window that opens, 0..1. */
  readonly rate: number
  /** Outcomes the window must hold before its share means anything. */
  readonly minimum: number
  /** Length of the window in milliseconds. */
  readonly windowMs: number
  /** Milliseconds, monotonic. */
  readonly now: () => number
}

/**
 * Says when a closed breaker opens: too many failures in a row, or too large a share of failures in a sliding window.
 *
 * The first rule sees a dead worker at once, the second a worker that fails every other request for ever. Cockatiel
 * ships the two as separate breakers and takes only one, so both stand here behind its interface.
 */
export class TripRule implements IBreaker {
  /** Cockatiel's serialization slot; nothing is saved across restarts. */
  state: unknown
  /** Why the breaker opened the last time. */
  reason = ''
  readonly #options: TripRuleOptions
  readonly #successes: SlidingCount
  readonly #failures: SlidingCount
  #inRow = 0

  constructor(options: TripRuleOptions) {
    this.#options = options
    this.#successes = new SlidingCount(options.windowMs, options.now)
    this.#failures = new SlidingCount(options.windowMs, options.now)
  }

  success(state: CircuitState): void {
    this.#inRow = 0
    if (state === CircuitState.HalfOpen) {
      // A healed worker starts afresh: the failures that opened the breaker must not open it again.
      this.#successes.clear()
      this.#failures.clear()
    } else {
      this.#successes.add()
    }
  }

  failure(state: CircuitState): boolean {
    if (state !== CircuitState.Closed) return true
    const { consecutive, rate, minimum, windowMs } = this.#options
    this.#failures.add()
    this.#inRow += 1
    if (this.#inRow >= consecutive) {
      this.reason = `${this.#inRow} failures in a row`
      return true
    }
    const failed = this.#failures.total
    const total = failed + this.#successes.total
    if (total < minimum || failed / total < rate) return false
    this.reason = `${failed} of ${total} requests failed within ${windowMs / 1000} s`
    return true
  }
}
