import { RouterError } from '../../http/errors.ts'
import { WaitingLine } from './waiting-line.ts'

/** Where slots come from: an `AdmissionQueue`, or one that lives elsewhere. */
export interface Admission {
  /** A slot, if one is free and nobody has to be asked. */
  tryEnter(): Slot | undefined
  /** The second half, for a request that `tryEnter` has just given none; rejects with a RouterError. */
  wait(signal: AbortSignal): Promise<Slot>
}

/** A place among the requests in flight. */
export interface Slot {
  /** Gives the place to the next in line. A second call does nothing. */
  release(): void
}

/** Told what happens, so that the edge can count it. None of them may throw. */
export interface AdmissionObserver {
  /** The number of requests waiting has changed. */
  readonly depthChanged?: (depth: number) => void
  /** A request that had to wait got its slot, after so many milliseconds. */
  readonly admitted?: (waitedMs: number) => void
  /** A request left without a slot, after so many milliseconds (0 when the queue was full). */
  readonly rejected?: (reason: RejectionReason, waitedMs: number) => void
}

export type RejectionReason = 'queue_full' | 'queue_timeout' | 'client_closed'

/** Time as a parameter; `now` in milliseconds from any fixed point. */
export interface AdmissionClock {
  now(): number
  setTimeout(fn: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
}

export interface AdmissionQueueOptions {
  /** Requests in flight at once, at least 1. Default: unlimited. */
  readonly maxConcurrent?: number | undefined
  /** Requests that may wait. Default 100; 0 turns away whatever cannot start at once. */
  readonly queueSize?: number
  /** Longest wait in milliseconds. Default 60 000. */
  readonly queueTimeoutMs?: number
  readonly observe?: AdmissionObserver
  readonly clock?: AdmissionClock
}

/** The runtimes take a delay beyond this one for 1 ms. */
const longestDelayMs = 2 ** 31 - 1

const systemClock: AdmissionClock = {
  now: () => performance.now(),
  setTimeout: (fn, ms) => setTimeout(fn, Math.min(ms, longestDelayMs)),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
}

/**
 * A true cap on requests in flight, with a bounded waiting room, first come first served.
 *
 * A slot is passed from one request straight to the next, so nobody can slip in between. A waiter whose client leaves,
 * or whose time is up, is out of the line at once.
 */
export class AdmissionQueue {
  /** Requests that may wait; a smaller number turns away none of those already waiting. */
  queueSize: number
  /** Longest wait in milliseconds, for those that come from now on. */
  queueTimeoutMs: number
  readonly #observe: AdmissionObserver
  readonly #clock: AdmissionClock
  readonly #line = new WaitingLine()
  #maxConcurrent: number
  #inFlight = 0

  constructor({
    maxConcurrent,
    queueSize = 100,
    queueTimeoutMs = 60_000,
    observe = {},
    clock = systemClock,
  }: AdmissionQueueOptions = {}) {
    this.#maxConcurrent = atLeastOne(maxConcurrent)
    this.queueSize = queueSize
    this.queueTimeoutMs = queueTimeoutMs
    this.#observe = observe
    this.#clock = clock
  }

  get inFlight(): number {
    return this.#inFlight
  }

  get queueDepth(): number {
    return this.#line.length
  }

  /** `undefined` means unlimited. A higher cap admits waiters at once; under a lower one, those in flight finish. */
  get maxConcurrent(): number | undefined {
    return this.#maxConcurrent === Number.POSITIVE_INFINITY ? undefined : this.#maxConcurrent
  }

  set maxConcurrent(value: number | undefined) {
    this.#maxConcurrent = atLeastOne(value)
    this.#admitWaiting()
  }

  /**
   * A slot, at once when one is free, else when it is this request's turn.
   *
   * @param signal aborts when the client has left; a RouterError as its reason becomes the rejection.
   * @throws RouterError (as a rejection) `queue_full`, `queue_timeout`, `client_closed`.
   */
  enter(signal: AbortSignal): Slot | Promise<Slot> {
    return this.tryEnter() ?? this.wait(signal)
  }

  /**
   * A slot if one is free: no promise, and no abort signal that would have to be made. It overtakes nobody, since a slot
   * is never free while someone waits.
   */
  tryEnter(): Slot | undefined {
    if (this.#inFlight >= this.#maxConcurrent) return undefined
    return this.#take()
  }

  /** The second half of `enter`, only for a request that `tryEnter` has just given no slot. */
  wait(signal: AbortSignal): Promise<Slot> {
    if (signal.aborted) return Promise.reject(this.#refuse('client_closed', 0))
    if (this.#line.length >= this.queueSize) return Promise.reject(this.#refuse('queue_full', 0))
    return new Promise((resolve, reject) => {
      const since = this.#clock.now()
      const stopWaiting = () => {
        this.#clock.clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
        leaveLine()
        this.#observe.depthChanged?.(this.#line.length)
      }
      const giveUp = (reason: RejectionReason) => {
        stopWaiting()
        const error = this.#refuse(reason, this.#clock.now() - since)
        reject(signal.reason instanceof RouterError ? signal.reason : error)
      }
      const admit = () => {
        stopWaiting()
        resolve(this.#take())
        this.#observe.admitted?.(this.#clock.now() - since)
      }
      const onAbort = () => giveUp('client_closed')
      const timer = this.#clock.setTimeout(() => giveUp('queue_timeout'), this.queueTimeoutMs)
      signal.addEventListener('abort', onAbort)
      const leaveLine = this.#line.join({ admit, since })
      this.#observe.depthChanged?.(this.#line.length)
    })
  }

  /** What would become of a request now: it goes on, it waits, or this error is its answer. Nothing is counted. */
  outlook(): 'admitted' | 'waits' | RouterError {
    if (this.#inFlight < this.#maxConcurrent) return 'admitted'
    return this.#line.length < this.queueSize ? 'waits' : this.#errorFor('queue_full', 0)
  }

  #take(): Slot {
    this.#inFlight++
    return new HeldSlot(this.#giveBack)
  }

  readonly #giveBack = (): void => {
    this.#inFlight--
    this.#admitWaiting()
  }

  #admitWaiting(): void {
    while (this.#inFlight < this.#maxConcurrent) {
      const { first } = this.#line
      if (first === undefined) return
      first.admit()
    }
  }

  #refuse(reason: RejectionReason, waitedMs: number): RouterError {
    this.#observe.rejected?.(reason, waitedMs)
    return this.#errorFor(reason, waitedMs)
  }

  #errorFor(reason: RejectionReason, waitedMs: number): RouterError {
    if (reason === 'client_closed') {
      return new RouterError(reason, 'The client went away while its request was waiting.')
    }
    const seconds = Math.round(waitedMs / 100) / 10
    const fault = reason === 'queue_full' ? 'its queue is full' : `this one waited ${seconds} s for its turn`
    const message = `The router is at its limit of requests in flight, and ${fault}.`
    return new RouterError(reason, message, { retryAfter: this.#retryAfter(waitedMs) })
  }

  /** Seconds. As long as this one waited, or the first in line waits already: how long a turn takes now. */
  #retryAfter(waitedMs: number): number {
    const { first } = this.#line
    const oldest = first === undefined ? 0 : this.#clock.now() - first.since
    return Math.max(1, Math.ceil(Math.max(waitedMs, oldest) / 1000))
  }
}

class HeldSlot implements Slot {
  #giveBack: (() => void) | undefined

  constructor(giveBack: () => void) {
    this.#giveBack = giveBack
  }

  release(): void {
    const giveBack = this.#giveBack
    this.#giveBack = undefined
    giveBack?.()
  }
}

function atLeastOne(value: number | undefined): number {
  if (value === undefined) return Number.POSITIVE_INFINITY
  if (value >= 1) return Math.floor(value)
  throw new RangeError(`maxConcurrent must be at least 1, received ${value}`)
}
