import type { Breaker, Permit } from '../../policies/resilience/breaker.ts'
import type { FleetOpinion } from '../../policies/resilience/fleet-opinion.ts'
import type { Outcome } from '../../policies/resilience/outcome.ts'
import type { Booking, Why } from '../../policies/selection/policy.ts'
import type { PassedOver } from '../request/request-view.ts'
import type { Kind } from './signs-of-life.ts'
import type { Worker } from './worker.ts'

export interface LeaseEvents {
  started(worker: Worker): void
  ended(worker: Worker): void
  judged(worker: Worker, outcome: Outcome): void
}

/** What a worker and its breaker are told of the request. */
export interface LeasedRequest {
  readonly stream: boolean
  /** Requests that are likely to fail alike have the same. */
  kind(): string
}

const nobody: readonly PassedOver[] = []

/** What the selection policy has decided beside the worker. */
export interface LeaseExtras {
  readonly booking?: Booking | undefined
  readonly rank?: number | undefined
  readonly why?: Why | undefined
  /** Workers that could be chosen from, and those that could not. */
  readonly candidates?: number
  readonly passedOver?: readonly PassedOver[]
}

/**
 * One claim of one request on one worker, counted from its creation until it is settled: exactly once, at the end of the
 * response body, at an error, or when the client leaves.
 */
export class Lease {
  readonly worker: Worker
  /** The data-parallel rank behind the worker's URL; undefined where there is only one. */
  readonly rank: number | undefined
  /** Why the policy has chosen this worker. */
  readonly why: Why | undefined
  /** Workers that could be chosen from, and those that could not, with why. */
  readonly candidates: number
  readonly passedOver: readonly PassedOver[]
  /**
   * Called when the worker is known to be dead: there is nothing to wait for any more. Set it to a function that has a
   * name already: V8 puts a function literal that is assigned to a property into the old generation, where it keeps the
   * whole request alive until the next full collection. That cost a tenth of all CPU.
   */
  onLetGo: (() => void) | undefined
  /** Only this worker can serve the request: no other can speak for it or against it. */
  pinned = false
  /** Where its share of the worker's time is put down in the end. */
  payer: { workerMs: number } | undefined
  readonly #request: LeasedRequest
  /** That of its beginning: with other settings a worker gets another one. */
  readonly #breaker: Breaker | undefined
  readonly #permit: Permit | undefined
  readonly #booking: Booking | undefined
  readonly #events: LeaseEvents
  readonly #opinion: FleetOpinion
  readonly #kind: Kind
  readonly #sentAt: number
  readonly #entered: number
  readonly #refusals: number
  #alive = false
  #ended = false
  #judged = false

  constructor(
    worker: Worker,
    request: LeasedRequest,
    events: LeaseEvents,
    opinion: FleetOpinion,
    { booking, rank, why, candidates = 1, passedOver = nobody }: LeaseExtras = {},
  ) {
    this.worker = worker
    this.rank = rank
    this.why = why
    this.candidates = candidates
    this.passedOver = passedOver
    this.#booking = booking
    this.#request = request
    this.#events = events
    this.#opinion = opinion
    this.#kind = request.stream ? 'stream' : 'plain'
    this.#refusals = worker.standBack.refusals
    this.#breaker = worker.breaker
    this.#permit = this.#breaker?.enter()
    this.#sentAt = worker.take(this, this.#kind)
    this.#entered = worker.timeShare.enter(this.#sentAt)
    events.started(worker)
  }

  /** It is the one request by which a half-open breaker tries the worker. */
  get isTrial(): boolean {
    return this.#permit?.trial ?? false
  }

  /** The breaker forbids requests, and nobody else was left. */
  get isForced(): boolean {
    return this.#permit?.forced ?? false
  }

  /** The first content has come, or a whole good answer: the worker works, and has room. */
  showLife(): void {
    if (this.#alive || this.#ended) return
    this.#alive = true
    const ms = this.worker.signs.first(this.#kind, this.#sentAt)
    this.#booking?.firstToken()
    if (this.#kind === 'stream') this.worker.recent.firstToken(ms)
    if (this.#permit !== undefined) this.#breaker?.yieldTrial(this.#permit)
    // What was sent before the last refusal says nothing about the room there is now.
    if (this.worker.standBack.known && this.#refusals === this.worker.standBack.refusals)
      this.worker.hasRoom()
  }

  /** When the request was sent, on the router's clock in milliseconds. */
  get sentAt(): number {
    return this.#sentAt
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
    this.onLetGo = undefined
    if (!this.#alive) this.worker.signs.none(this.#kind)
    const ms = this.worker.release(this, this.#entered)
    if (this.payer !== undefined) this.payer.workerMs += ms
    this.#booking?.end()
    this.#events.ended(this.worker)
  }

  /** The verdict. It may come later than the end: whether a 500 was the request's own fault, the next worker shows. */
  judge(outcome: Outcome, reason = ''): void {
    if (this.#judged) return
    this.#judged = true
    if (outcome === 'failure') {
      this.worker.noteError(reason)
      this.worker.recent.add('failures')
    }
    if (this.#permit !== undefined) {
      const kind = outcome === 'failure' ? this.#request.kind() : undefined
      void this.#breaker?.leave(this.#permit, outcome, reason, kind)
    }
    this.#events.judged(this.worker, outcome)
  }

  /** Settles with a fault of a committed answer, which no other worker can be asked about: a failure, unless others do alike. */
  settleCompared(fault: string, reason: string): void {
    this.end()
    this.judgeCompared(fault, reason)
  }

  /** A failure, unless others have done alike lately, or could not have been asked. */
  judgeCompared(fault: string, reason: string): void {
    if (this.#judged) return
    const blamed = !this.pinned && this.#opinion.isAlone(this.worker.id, fault)
    this.judge(blamed ? 'failure' : 'neutral', reason)
  }
}
