import { type CircuitBreakerPolicy, CircuitState, circuitBreaker, handleAll } from 'cockatiel'
import type { Outcome } from './outcome.ts'
import { TripRule } from './trip-rule.ts'

export interface BreakerOptions {
  /** Failures in a row that open. */
  readonly failureThreshold: number
  /** Successful trials in a row that close a half-open breaker. */
  readonly successThreshold: number
  /** First open time in milliseconds; doubles with each failed trial up to `maxOpenMs`. */
  readonly openMs: number
  readonly maxOpenMs?: number
  /** Share of failures within the window that opens. */
  readonly failureRate: number
  readonly minimumRequests: number
  readonly windowMs: number
  /** Milliseconds, monotonic. */
  readonly now: () => number
  readonly random: () => number
  readonly onTransition?: (from: BreakerStateName, to: BreakerStateName, reason: string) => void
}

export type BreakerStateName = 'closed' | 'open' | 'half_open'

export type BreakerState =
  | { readonly name: 'closed' }
  | {
      readonly name: 'open'
      readonly reason: string /** Milliseconds on the breaker's clock. */
      readonly until: number
    }
  | { readonly name: 'half_open'; readonly reason: string; readonly trialRunning: boolean }

/** An attempt's right to tell the breaker how it ended. */
export interface Permit {
  readonly epoch: number
  readonly trial: boolean
  /** Given although the breaker forbids requests: nobody else was left to ask. */
  readonly forced: boolean
  /** The trial has let the next one in. Only the breaker writes it. */
  yielded?: boolean
}

/** Kinds of requests that are remembered of those that failed. */
const maxKinds = 16
/**
 * Share of the open time for which a half-open breaker waits for a trial unlike the requests that opened it; then any
 * request will do, else a worker with one kind of clients would never come back.
 */
const choosyShare = 0.2

/**
 * One worker's circuit breaker: cockatiel is the state machine, this class decides when it is told what.
 *
 * - Cockatiel judges when a promise settles, but a stream's verdict is known only at its last byte, and a client's abort
 *   is no verdict at all. So an attempt takes a permit, and its verdict is replayed into the machine at the end.
 * - A verdict from an earlier epoch (before the last transition) is dropped: a stream that broke late must not open a
 *   breaker again that has healed since.
 * - Cockatiel lets callers wait behind a half-open trial, and stays `Open` until somebody calls it. Here the open time
 *   is kept outside, `allows()` is a plain look, and one elected attempt at a time is the trial.
 */
export class Breaker {
  /** Told of each move, for whoever keeps what `allows()` said while the breaker was closed. */
  onMove: (() => void) | undefined
  readonly #options: BreakerOptions
  readonly #rule: TripRule
  readonly #machine: CircuitBreakerPolicy
  #state: BreakerState = { name: 'closed' }
  #epoch = 0
  #openMs: number
  #trialRunning = false
  /** Until then a trial should be unlike the requests that failed. */
  #choosyUntil = 0
  /** The kinds of the requests that have failed since the breaker was last closed by a trial. */
  readonly #failedKinds = new Set<string>()
  /** Verdicts that the machine has been told and has not yet acted upon. */
  #onTheWay = 0

  constructor(options: BreakerOptions) {
    this.#options = options
    this.#openMs = options.openMs
    this.#rule = new TripRule({
      consecutive: options.failureThreshold,
      rate: options.failureRate,
      minimum: options.minimumRequests,
      windowMs: options.windowMs,
      now: options.now,
    })
    this.#machine = circuitBreaker(handleAll, {
      breaker: this.#rule,
      halfOpenAfter: 0,
      halfOpenSampling: { calls: options.successThreshold, threshold: 0 },
    })
    this.#machine.onStateChange((state) => this.#follow(state))
  }

  /** True at the moment of the call: an open breaker whose time has passed reads half open. */
  get state(): BreakerState {
    const state = this.#state
    if (state.name === 'open' && this.#options.now() < state.until) return state
    if (state.name === 'closed') return state
    return { name: 'half_open', reason: state.reason, trialRunning: this.#trialRunning }
  }

  /** Milliseconds until the first trial; 0 when it is not open. */
  get remainingMs(): number {
    const state = this.state
    return state.name === 'open' ? state.until - this.#options.now() : 0
  }

  /** Whether a request may be sent now. */
  allows(): boolean {
    if (this.#state.name === 'closed') return true
    return (
      !this.#trialRunning && (this.#state.name === 'half_open' || this.#options.now() >= this.#state.until)
    )
  }

  /** Whether a request of this kind would make a poor trial now: one like it has failed, and there is time to choose. */
  poorTrial(kind: string): boolean {
    return this.#failedKinds.has(kind) && this.#options.now() < this.#choosyUntil
  }

  /**
   * Takes part: elects this attempt as the trial when the breaker is not closed. Where the breaker forbids requests, the
   * attempt is a forced one: its success ends the open time, its failure changes nothing.
   */
  enter(): Permit {
    if (this.#state.name === 'closed') return { epoch: this.#epoch, trial: false, forced: false }
    if (!this.allows()) return { epoch: this.#epoch, trial: false, forced: true }
    this.#trialRunning = true
    if (this.#state.name === 'open')
      this.#move({ name: 'half_open', reason: this.#state.reason, trialRunning: true })
    return { epoch: this.#epoch, trial: true, forced: false }
  }

  /**
   * Gives the permit back with the verdict; resolves when the state has followed (a few microtasks).
   *
   * @param kind what kind of request it was, of a failure
   */
  leave(permit: Permit, outcome: Outcome, reason = '', kind?: string): Promise<void> {
    if (permit.epoch !== this.#epoch) return Promise.resolve()
    if (permit.trial) this.yieldTrial(permit)
    if (outcome === 'failure' && kind !== undefined) this.#rememberKind(kind)
    if (permit.forced) {
      if (outcome === 'success') this.tryNow()
      return Promise.resolve()
    }
    if (outcome === 'neutral') return Promise.resolve()
    // What the machine would do with nearly every verdict. Its own way takes 1 us on Bun, and must be taken as long as
    // an earlier verdict is on it.
    if (outcome === 'success' && this.#state.name === 'closed' && this.#onTheWay === 0) {
      this.#rule.success(CircuitState.Closed)
      return Promise.resolve()
    }
    return this.#tell(permit, outcome, reason)
  }

  /**
   * The trial has begun well: the next request may be one too. Its verdict still falls at its end, which may be long to
   * come: a client that stops reading must not keep a worker that has healed from all others.
   */
  yieldTrial(permit: Permit): void {
    if (!permit.trial || permit.yielded === true || permit.epoch !== this.#epoch) return
    permit.yielded = true
    this.#trialRunning = false
  }

  async #tell(permit: Permit, outcome: Outcome, reason: string): Promise<void> {
    if (permit.trial && outcome === 'failure') this.#rule.reason = `trial failed: ${reason}`
    this.#onTheWay += 1
    await this.#machine
      // Asynchronous, so that both take as long: else failures would overtake the successes of the same moment.
      .execute(async () => {
        if (outcome === 'failure') throw new Error(reason)
      })
      .catch(() => {})
    this.#onTheWay -= 1
  }

  /** The latest ones count. */
  #rememberKind(kind: string): void {
    this.#failedKinds.delete(kind)
    this.#failedKinds.add(kind)
    if (this.#failedKinds.size > maxKinds) this.#failedKinds.delete(this.#failedKinds.values().next().value!)
  }

  /** Ends the open time: there is news that makes a trial worth it now. */
  tryNow(): void {
    if (this.#state.name !== 'open') return
    this.#openMs = this.#options.openMs
    this.#choosyUntil = 0
    this.#state = { ...this.#state, until: this.#options.now() }
  }

  #follow(state: CircuitState): void {
    if (state === CircuitState.Closed) {
      this.#openMs = this.#options.openMs
      this.#failedKinds.clear()
      this.#move({ name: 'closed' })
    } else if (state === CircuitState.Open) {
      const { now, random, maxOpenMs = 60_000 } = this.#options
      // Jitter spreads the trials of workers, and of routers, that failed together.
      const openMs = this.#openMs * (0.9 + 0.2 * random())
      const until = now() + openMs
      this.#choosyUntil = until + openMs * choosyShare
      this.#openMs = Math.min(this.#openMs * 2, Math.max(maxOpenMs, this.#options.openMs))
      this.#move({ name: 'open', reason: this.#rule.reason, until })
    }
  }

  #move(next: BreakerState): void {
    const from = this.#state.name
    this.#state = next
    this.#epoch += 1
    this.#trialRunning = next.name === 'half_open'
    this.onMove?.()
    if (next.name === from) return
    this.#options.onTransition?.(from, next.name, 'reason' in next ? next.reason : '')
  }
}
