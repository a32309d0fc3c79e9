import type { Permit } from '../../policies/resilience/breaker.ts'
import type { Outcome } from '../../policies/resilience/outcome.ts'
import type { Worker } from './worker.ts'

export interface LeaseEvents {
  started(worker: Worker): void
  ended(worker: Worker): void
  judged(worker: Worker, outcome: Outcome): void
}

/**
 * One claim of one request on one worker, counted from its creation until it is settled: exactly once, at the end of the
 * response body, at an error, or when the client leaves.
 */
export class Lease {
  readonly worker: Worker
  readonly #permit: Permit | undefined
  readonly #events: LeaseEvents
  #ended = false
  #judged = false

  constructor(worker: Worker, events: LeaseEvents) {
    this.worker = worker
    this.#events = events
    worker.inFlight += 1
    this.#permit = worker.breaker?.enter()
    events.started(worker)
  }

  /** It is the one request by which a half-open breaker tries the worker. */
  get isTrial(): boolean {
    return this.#permit?.trial ?? false
  }

  /** The exchange is over and its outcome is known. The first call counts, later ones change nothing. */
  settle(outcome: Outcome, reason = ''): void {
    this.end()
    this.judge(outcome, reason)
  }

  /** The exchange is over: the worker has one request less. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.worker.inFlight -= 1
    this.#events.ended(this.worker)
  }

  /** The verdict. It may come later than the end: whether a 500 was the request's own fault, the next worker shows. */
  judge(outcome: Outcome, reason = ''): void {
    if (this.#judged) return
    this.#judged = true
    if (outcome === 'failure') this.worker.fail(reason)
    if (this.#permit !== undefined) void this.worker.breaker?.leave(this.#permit, outcome, reason)
    this.#events.judged(this.worker, outcome)
  }
}
