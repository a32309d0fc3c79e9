import { backoffDelays, type RetryOptions } from '../../policies/resilience/retry.ts'
import type { RetryBudget } from '../../policies/resilience/retry-budget.ts'
import type { RequestRecord } from '../request/request-record.ts'
import type { Lease } from '../workers/lease.ts'
import type { Pool } from '../workers/pool.ts'
import { longestRetryAfterMs } from '../workers/stand-back.ts'
import type { Worker } from '../workers/worker.ts'
import { AttemptFailure, type HeldAnswer } from './attempt-failure.ts'
import type { Call } from './call.ts'
import { type Answer, type ExchangeOptions, exchange } from './exchange.ts'
import { nobodyAvailable, notAtHome } from './nobody-available.ts'
import { PlainStream } from './plain-stream.ts'
import type { Fault } from './verdicts.ts'

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
  /** Somebody may yet turn out to be available: not everyone has been asked for the first time. */
  readonly isStarting: () => boolean
  readonly events: RelayEvents
}

/** Attempts that may end in a worker's death: one, and one more. A poison request must not walk through the fleet. */
const maxDeaths = 2

/** Longest time in milliseconds that a request waits for workers that have never been probed, and between two looks. */
const firstProbesMs = 3000
const lookMs = 20

/** One client request: one attempt after the other until one is committed, none is left, or nothing more may be tried. */
export function relay(call: Call, options: RelayOptions): Promise<Answer> {
  options.budget.deposit()
  return new Run(call, options).toCommit()
}

class Run {
  readonly #call: Call
  readonly #options: RelayOptions
  /** Workers that have failed this request; nearly always there is none. */
  #tried: Set<Worker> | undefined
  /** Leases whose fault may be the request's: not judged until another worker has had the same request. */
  #suspects: Suspect[] | undefined
  /** Some worker could answer it: there is nothing wrong with the request. */
  #served = false
  /** No other worker could be asked for a second opinion, although there are others. */
  #noSecondOpinion = false
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
    const { record, kind, home } = this.#call
    record.stop.throwIfStopped()
    let lease = home === undefined ? pool.acquire(kind) : this.#atHome(home)
    lease ??= await this.#afterFirstProbes()
    try {
      for (;;) {
        record.attempts += 1
        noteAttempt(record, lease)
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
          const next = await this.#another(error, lease)
          if (next === undefined) return this.#giveUp(error)
          lease = next
        }
      }
    } finally {
      if (this.#suspects !== undefined) this.#judgeSuspects(this.#suspects)
    }
  }

  /** A router that has just been started knows nobody yet: its first requests wait for the first probes. */
  async #afterFirstProbes(): Promise<Lease> {
    const { pool, isStarting, exchange: exchangeOptions } = this.#options
    const { record, kind } = this.#call
    const { clock } = exchangeOptions
    const until = clock.now() + firstProbesMs
    while (isStarting() && clock.now() < until) {
      await record.stop.sleep(lookMs, clock)
      const lease = pool.acquire(kind)
      if (lease !== undefined) return lease
    }
    throw nobodyAvailable(pool, kind.model)
  }

  /** What the request is about is at this worker alone. */
  #atHome(home: Worker): Lease {
    const lease = this.#options.pool.claim(home, this.#call.kind)
    if (lease === undefined) throw notAtHome()
    return lease
  }

  /** Where a worker has not what it was asked for, another may: that is no failure, and costs no retry. */
  #elsewhere(worker: Worker, answer: Answer): Lease | undefined {
    const { elsewhere, kind, record } = this.#call
    const without = answer.status < 400 ? undefined : elsewhere?.(answer, worker)
    if (without === undefined) return undefined
    const { reason } = record.stop
    const tried = this.#triedWith(worker, ...without)
    const lease = reason === undefined ? this.#options.pool.acquire(kind, { tried }) : undefined
    // Nobody is going to read it.
    if ((reason !== undefined || lease !== undefined) && answer.body instanceof PlainStream)
      answer.body.abandon()
    record.stop.throwIfStopped()
    return lease
  }

  #triedWith(...workers: readonly Worker[]): ReadonlySet<Worker> {
    this.#tried ??= new Set()
    for (const worker of workers) this.#tried.add(worker)
    return this.#tried
  }

  /** Keeps the books of a failed attempt. */
  #close(lease: Lease, failure: AttemptFailure): void {
    const { fault, reason, retryAfterMs = 0 } = failure.details
    const { blame, deadly } = failure.verdict
    const { worker } = lease
    this.#triedWith(worker)
    if (blame === 'nobody' || blame === 'worker') {
      lease.settle(blame === 'worker' ? 'failure' : 'neutral', reason)
    } else {
      lease.end()
      this.#suspects ??= []
      this.#suspects.push({ lease, fault, reason, blame })
    }
    if (deadly) this.#deaths += 1
    const { record } = this.#call
    const endedAt = this.#options.exchange.clock.now()
    record.trace?.attemptFailed(fault, endedAt)
    record.attemptFailed({
      workerId: worker.id,
      worker: worker.url,
      why: lease.why,
      outcome: fault,
      sentAt: lease.sentAt,
      endedAt,
    })
    if (fault === 'busy') worker.refuse(retryAfterMs)
    if (fault === 'shutting_down') worker.refuse(longestRetryAfterMs)
    if (fault === 'unreachable') this.#options.probeSoon(worker)
    this.#options.events.attemptFailed(this.#call, worker, failure)
  }

  /** A lease for another attempt; undefined when there is to be none. */
  async #another(failure: AttemptFailure, { isForced }: Lease): Promise<Lease | undefined> {
    const { retry, events } = this.#options
    const { again } = failure.verdict
    this.#call.record.stop.throwIfStopped()
    if (again === 'never' || this.#deaths >= maxDeaths || retry.maxAttempts === 1) return undefined
    // What changes a worker is not sent to another, unless nobody saw it.
    if (this.#call.home !== undefined || (this.#call.once && failure.details.fault !== 'unreachable')) {
      this.#noSecondOpinion = this.#options.pool.workers.length > 1
      return undefined
    }
    // A worker whose breaker is open is the last one there is: it is asked once for each request.
    if (isForced) return undefined
    if (again === 'free') {
      const lease = this.#untried(isBusy(failure))
      if (lease !== undefined) return lease
      if (isBusy(failure)) {
        // All are: the client hears so at once.
        this.#noSecondOpinion = true
        return undefined
      }
    }
    this.#retries += 1
    if (this.#retries >= retry.maxAttempts || !this.#withdraw()) {
      events.retriesExhausted(this.#call)
      return undefined
    }
    return (again === 'free' ? undefined : this.#untried(false)) ?? (await this.#afterPause())
  }

  #withdraw(): boolean {
    const granted = this.#options.budget.withdraw()
    this.#noSecondOpinion = !granted
    return granted
  }

  /**
   * An untried worker is taken at once.
   * @param withRoom after a refusal a worker that refuses too is of no use; after a failure it is better than the same one
   */
  #untried(withRoom: boolean): Lease | undefined {
    const { pool, events } = this.#options
    const lease = pool.acquire(this.#call.kind, { tried: this.#tried, withRoom })
    if (lease !== undefined) events.retried(this.#call, this.#call.record.attempts, 0)
    return lease
  }

  /** All have been tried: a pause, and any of them once more. */
  async #afterPause(): Promise<Lease | undefined> {
    const { pool, retry, events, exchange: exchangeOptions } = this.#options
    const { kind, record } = this.#call
    this.#nextDelay ??= backoffDelays(retry)
    const delay = this.#nextDelay()
    events.retried(this.#call, record.attempts, delay)
    await record.stop.sleep(delay, exchangeOptions.clock)
    this.#tried = new Set()
    return pool.acquire(kind, { tried: this.#tried })
  }

  /** A worker's own answer, if it was the last word; else the router's. */
  #giveUp(failure: AttemptFailure): Answer {
    const { answer } = failure.details
    if (answer === undefined) throw failure.toRouterError()
    return isBusy(failure) ? this.#withRetryAfter(answer) : answer
  }

  /** The client is told when the first of all workers may have room, not only the one that was asked last. */
  #withRetryAfter(answer: HeldAnswer): Answer {
    const seconds = this.#options.pool.roomAfter(this.#call.kind.model)
    if (seconds === undefined || answer.reportsError) return answer
    const headers = answer.headers.filter(([name]) => name.toLowerCase() !== 'retry-after')
    return { ...answer, headers: [...headers, ['retry-after', String(Math.max(1, Math.ceil(seconds)))]] }
  }

  /**
   * If two workers fail a request and none does better, the request is the likely cause: neither is blamed, so that one
   * client's bad input does not open the breakers of the fleet. If the retry budget left no second opinion, the one
   * worker is not blamed either: if it really fails, the retries of other requests show it.
   */
  #judgeSuspects(suspects: readonly Suspect[]): void {
    const workers = new Set(suspects.map(({ lease }) => lease.worker))
    // Nor where the client left, or its time was up, before another worker could answer.
    const unheard = this.#noSecondOpinion || this.#call.record.stop.reason !== undefined
    const innocent = !this.#served && (workers.size > 1 || unheard)
    // Without retries nobody ever speaks against a worker: what others do at the same time has to do.
    const alone = this.#options.retry.maxAttempts === 1
    for (const { lease, fault, reason, blame } of suspects) {
      if (alone) {
        lease.judgeCompared(fault, reason)
        continue
      }
      const alive = blame === 'unless_alike' || lease.worker.silentMs < aliveMs
      lease.judge(innocent && alive ? 'neutral' : 'failure', reason)
    }
  }
}

/** What the log and the last requests say of the attempt under way. */
function noteAttempt(record: RequestRecord, lease: Lease): void {
  record.workerId = lease.worker.id
  record.workerUrl = lease.worker.url
  record.why = lease.why
  record.sentAt = lease.sentAt
  record.lastFailed = false
  lease.payer = record
  record.candidates = lease.candidates
  record.passedOver = lease.passedOver
  record.trace?.attemptBegins({ worker: lease.worker.url, why: lease.why, sentAt: lease.sentAt })
}

/** An attempt that is not judged yet. */
interface Suspect {
  readonly lease: Lease
  readonly fault: Fault
  readonly reason: string
  readonly blame: 'unless_alike' | 'unless_alike_and_alive'
}

/** Milliseconds within which a worker must have served others to be excused for a broken connection. */
const aliveMs = 30_000

function isBusy({ details }: AttemptFailure): boolean {
  return details.fault === 'busy' || details.fault === 'shutting_down'
}
