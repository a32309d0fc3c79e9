import { modelNotFound, RouterError } from '../../middleware/errors.ts'
import { backoffDelays, type RetryOptions } from '../../policies/resilience/retry.ts'
import type { RetryBudget } from '../../policies/resilience/retry-budget.ts'
import type { Lease } from '../workers/lease.ts'
import type { Pool } from '../workers/pool.ts'
import type { Worker } from '../workers/worker.ts'
import { AttemptFailure } from './attempt-failure.ts'
import type { Call } from './call.ts'
import { type Answer, type ExchangeOptions, exchange } from './exchange.ts'

export interface RelayEvents {
  /** An attempt failed and another follows after `delayMs`. */
  retried(call: Call, attempt: number, delayMs: number): void
  /** An attempt failed that could have been retried, and nothing was left to retry with. */
  retriesExhausted(call: Call): void
  attemptFailed(call: Call, worker: Worker, failure: AttemptFailure): void
}

export interface RelayOptions {
  readonly pool: Pool
  readonly exchange: ExchangeOptions
  readonly retry: RetryOptions
  readonly budget: RetryBudget
  /** Nobody answers at this worker's address. */
  readonly probeSoon: (worker: Worker) => void
  readonly events: RelayEvents
}

/** Attempts that may end in a worker's death: one, and one more. A poison request must not walk through the fleet. */
const maxDeaths = 2

/** One client request: one attempt after the other until one is committed, none is left, or nothing more may be tried. */
export function relay(call: Call, options: RelayOptions): Promise<Answer> {
  options.budget.deposit()
  return new Run(call, options).toCommit()
}

class Run {
  readonly #call: Call
  readonly #options: RelayOptions
  /** Workers that have failed this request. */
  #tried: Set<Worker> | undefined
  /** Leases whose worker answered with a server error: not judged until another worker has had the same request. */
  #suspects: { lease: Lease; reason: string }[] = []
  /** Some worker could answer it: there is nothing wrong with the request. */
  #served = false
  /** There was no budget for a second opinion. */
  #unheard = false
  #deaths = 0
  /** Attempts after the first that count against the limit. */
  #retries = 0
  #nextDelay: (() => number) | undefined

  constructor(call: Call, options: RelayOptions) {
    this.#call = call
    this.#options = options
  }

  async toCommit(): Promise<Answer> {
    const { pool, exchange: exchangeOptions } = this.#options
    const { record, model, home } = this.#call
    record.stop.throwIfStopped()
    let lease = home === undefined ? pool.acquire(model) : pool.claim(home)
    if (lease === undefined) throw home === undefined ? nobodyAvailable(pool, model) : notAtHome()
    try {
      for (;;) {
        record.attempts += 1
        record.workerId = lease.worker.id
        try {
          // The one retry that is left after a death must not be lost on a connection that is dead already.
          const answer = await exchange(this.#call, lease, exchangeOptions, this.#deaths > 0)
          const other = this.#elsewhere(lease.worker, answer)
          if (other === undefined) {
            this.#served = answer.status < 400
            return answer
          }
          lease = other
        } catch (error) {
          if (!(error instanceof AttemptFailure)) {
            lease.settle('neutral')
            throw error
          }
          this.#close(lease, error)
          lease = await this.#another(error)
          if (lease === undefined) return this.#giveUp(error)
        }
      }
    } finally {
      if (this.#suspects.length > 0) this.#judgeSuspects()
    }
  }

  /** Where a worker has not what it was asked for, another may: that is no failure, and costs no retry. */
  #elsewhere(worker: Worker, answer: Answer): Lease | undefined {
    const { elsewhere, model, record } = this.#call
    if (answer.status < 400 || elsewhere?.(answer, worker) !== true) return undefined
    record.stop.throwIfStopped()
    this.#tried ??= new Set()
    this.#tried.add(worker)
    return this.#options.pool.acquire(model, this.#tried)
  }

  /** Keeps the books of a failed attempt. */
  #close(lease: Lease, failure: AttemptFailure): void {
    const { outcome, reason, unreachable, coolDownMs, died } = failure.details
    const { worker } = lease
    this.#tried ??= new Set()
    this.#tried.add(worker)
    // A trial is judged at once: the breaker waits for nothing else.
    if (failure.isServerError && !lease.isTrial) {
      lease.end()
      this.#suspects.push({ lease, reason })
    } else {
      lease.settle(outcome, reason)
    }
    if (died) this.#deaths += 1
    if (coolDownMs) worker.coolDown(coolDownMs)
    if (unreachable) this.#options.probeSoon(worker)
    this.#options.events.attemptFailed(this.#call, worker, failure)
  }

  /** A lease for another attempt; undefined when there is to be none. */
  async #another({ details }: AttemptFailure): Promise<Lease | undefined> {
    const { retry, budget, events } = this.#options
    this.#call.record.stop.throwIfStopped()
    if (!details.retryable || this.#deaths >= maxDeaths || retry.maxAttempts === 1) return undefined
    if (this.#call.home !== undefined || (this.#call.once && !details.unreachable)) return undefined
    // Nobody saw the request: the next worker is not a retry of anything, and costs no one.
    if (details.unreachable) {
      const lease = this.#untried()
      if (lease !== undefined) return lease
    }
    this.#retries += 1
    const mayRetry = this.#retries < retry.maxAttempts && this.#withdraw(budget)
    if (!mayRetry) {
      events.retriesExhausted(this.#call)
      return undefined
    }
    return (details.unreachable ? undefined : this.#untried()) ?? (await this.#afterPause())
  }

  #withdraw(budget: RetryBudget): boolean {
    const granted = budget.withdraw()
    this.#unheard = !granted
    return granted
  }

  /** An untried worker is taken at once. */
  #untried(): Lease | undefined {
    const { pool, events } = this.#options
    const { model, record } = this.#call
    const lease = pool.acquire(model, this.#tried)
    if (lease !== undefined) events.retried(this.#call, record.attempts, 0)
    return lease
  }

  /** All have been tried: a pause, and any of them once more. */
  async #afterPause(): Promise<Lease | undefined> {
    const { pool, retry, events, exchange: exchangeOptions } = this.#options
    const { model, record } = this.#call
    this.#nextDelay ??= backoffDelays(retry)
    const delay = this.#nextDelay()
    events.retried(this.#call, record.attempts, delay)
    await record.stop.sleep(delay, exchangeOptions.clock)
    this.#tried = undefined
    return pool.acquire(model)
  }

  /** A worker's own answer, if it was the last word; else the router's. */
  #giveUp(failure: AttemptFailure): Answer {
    const { answer } = failure.details
    if (answer === undefined) throw failure.toRouterError()
    return answer
  }

  /**
   * A request to which two workers answered with a server error, and none with anything better, indicts itself: neither
   * is blamed. One client's bad input must not open the breakers of the fleet. Nor is a worker blamed that no other
   * could speak against, because such a client has used up the retry budget: a worker that is truly ill is found out by
   * the retries there are.
   */
  #judgeSuspects(): void {
    const workers = new Set(this.#suspects.map(({ lease }) => lease.worker))
    // Nor where the client left, or its time was up, before another worker could answer.
    const unheard = this.#unheard || this.#call.record.stop.reason !== undefined
    const innocent = !this.#served && (workers.size > 1 || unheard)
    const outcome = innocent ? 'neutral' : 'failure'
    for (const { lease, reason } of this.#suspects) lease.judge(outcome, reason)
    this.#suspects = []
  }
}

function notAtHome(): RouterError {
  const message = 'the worker that has this response cannot take the request now'
  return new RouterError('no_available_worker', message, { retryAfter: 1 })
}

function nobodyAvailable(pool: Pool, model: string | undefined): RouterError {
  if (model !== undefined && !pool.mayServe(model)) return modelNotFound(model)
  const why = [...pool.refusals(model)].map(([reason, count]) => `${count} ${reason.replaceAll('_', ' ')}`)
  const workers = why.length === 0 ? 'none is registered' : why.join(', ')
  return new RouterError('no_available_worker', `no worker can take the request now: ${workers}`, {
    retryAfter: pool.retryAfter(),
  })
}
