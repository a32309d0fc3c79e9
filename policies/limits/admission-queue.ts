import { RouterError } from '../../http/errors.ts'
import { type Standing, usualStanding } from '../../http/priority.ts'
import type { PriorityClass } from '../../http/tenant.ts'
import { type Cap, type Slot, Slots } from './slots.ts'
import { type Seat, type Waiter, WaitingRoom } from './waiting-room.ts'

/** Where slots come from: an `AdmissionQueue`, or one that lives elsewhere. */
export interface Admission {
  /**
   * A slot, if one is free for a request of this standing and nobody has to be asked.
   * @param standing default: that of a request without a tenant
   */
  tryEnter(standing?: Standing): Slot | undefined
  /**
   * The second half, for a request that `tryEnter` has just given none; rejects with a RouterError.
   * @param standing what decides when its turn comes. Default: that of a request without a tenant
   */
  wait(signal: AbortSignal, standing?: Standing): Promise<Slot>
}

/** Told what happens, so that the edge can count it. None of them may throw. */
export interface AdmissionObserver {
  /** The number of requests waiting has changed: in all, and of the class. */
  readonly depthChanged?: (depth: number, priority: PriorityClass, ofClass: number) => void
  /** A request that had to wait got its slot, after so many milliseconds. */
  readonly admitted?: (waitedMs: number, priority: PriorityClass) => void
  /** A request left without a slot, after so many milliseconds (0 when the queue was full). */
  readonly rejected?: (reason: RejectionReason, waitedMs: number, priority: PriorityClass) => void
}

/** `shed`: its place went to another request (see `WaitingRoom`); its client is told `queue_full`. */
export type RejectionReason = 'queue_full' | 'queue_timeout' | 'client_closed' | 'shed'

/** Time as a parameter; `now` in milliseconds from any fixed point. */
export interface AdmissionClock {
  now(): number
  setTimeout(fn: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
}

export interface AdmissionQueueOptions extends Cap {
  /** Requests that may wait. Default 100; 0 turns away whatever cannot start at once. */
  readonly queueSize?: number
  /** Longest wait in milliseconds. Default 60 000. */
  readonly queueTimeoutMs?: number
  /** Milliseconds after which a request that waits is overdue: see `WaitingRoom`. Default 10 000. */
  readonly agingMs?: number
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
 * A true cap on requests in flight, with a bounded waiting room: see `WaitingRoom` for whose turn it is.
 *
 * A slot is passed from one request straight to the next, so nobody can slip in between. A waiter whose client leaves,
 * or whose time is up, is out of the line at once.
 */
export class AdmissionQueue {
  /** Longest wait in milliseconds, for those that come from now on. */
  queueTimeoutMs: number
  readonly #observe: AdmissionObserver
  readonly #clock: AdmissionClock
  readonly #slots: Slots
  readonly #room: WaitingRoom<Waiting>

  constructor({
    queueSize = 100,
    queueTimeoutMs = 60_000,
    agingMs = 10_000,
    observe = {},
    clock = systemClock,
    ...cap
  }: AdmissionQueueOptions = {}) {
    this.#slots = new Slots(cap, () => this.#admitWaiting())
    this.#room = new WaitingRoom({ size: queueSize, agingMs })
    this.queueTimeoutMs = queueTimeoutMs
    this.#observe = observe
    this.#clock = clock
  }

  get inFlight(): number {
    return this.#slots.inFlight
  }

  get queueDepth(): number {
    return this.#room.length
  }

  /** Requests that may wait; a smaller number turns away none of those already waiting. */
  get queueSize(): number {
    return this.#room.size
  }

  set queueSize(value: number) {
    this.#room.size = value
  }

  /** Milliseconds after which one that waits is overdue. */
  set agingMs(value: number) {
    this.#room.agingMs = value
  }

  /** `undefined` means unlimited. */
  get maxConcurrent(): number | undefined {
    return this.#slots.maxConcurrent
  }

  get keptForHigh(): number {
    return this.#slots.keptForHigh
  }

  /** A higher cap admits waiters at once; under a lower one, those in flight finish. */
  setCap(cap: Cap): void {
    this.#slots.setCap(cap)
    this.#admitWaiting()
  }

  /**
   * A slot, at once when one is free, else when it is this request's turn.
   *
   * @param signal aborts when the client has left; a RouterError as its reason becomes the rejection.
   * @throws RouterError (as a rejection) `queue_full`, `queue_timeout`, `client_closed`.
   */
  enter(signal: AbortSignal, standing?: Standing): Slot | Promise<Slot> {
    return this.tryEnter(standing) ?? this.wait(signal, standing)
  }

  /**
   * A slot if one is free: no promise, and no abort signal that would have to be made. It overtakes nobody of its class
   * or a higher one, since a slot is never free while someone waits who may take it.
   */
  tryEnter({ priority }: Standing = usualStanding): Slot | undefined {
    return this.#slots.isFreeFor(priority) ? this.#slots.take(priority) : undefined
  }

  /** The second half of `enter`, only for a request that `tryEnter` has just given no slot. */
  wait(signal: AbortSignal, standing: Standing = usualStanding): Promise<Slot> {
    if (signal.aborted) return Promise.reject(this.#refuse('client_closed', standing, 0))
    const place = this.#room.placeFor(standing)
    if (place === false) return Promise.reject(this.#refuse('queue_full', standing, 0))
    if (place !== true) this.#giveUp(place.of, 'shed')
    const turn = Promise.withResolvers<Slot>()
    const waiting = new Waiting(standing, this.#clock.now(), signal, turn)
    waiting.seat = this.#room.join(waiting)
    waiting.timer = this.#clock.setTimeout(() => this.#giveUp(waiting, 'queue_timeout'), this.queueTimeoutMs)
    waiting.onAbort = () => this.#giveUp(waiting, 'client_closed')
    signal.addEventListener('abort', waiting.onAbort)
    this.#depthChanged(standing)
    return turn.promise
  }

  /** What would become of a request now: it goes on, it waits, or this error is its answer. Nothing is counted. */
  outlook(standing: Standing = usualStanding): 'admitted' | 'waits' | RouterError {
    if (this.#slots.isFreeFor(standing.priority)) return 'admitted'
    return this.#room.placeFor(standing) === false ? this.#errorFor('queue_full', standing, 0) : 'waits'
  }

  #admitWaiting(): void {
    while (this.#slots.isFreeFor('high')) {
      const now = this.#clock.now()
      const next = this.#room.takeTurn(now, this.#slots.isFreeFor('low') ? 'low' : 'high')
      if (next === undefined) return
      const { priority } = next.standing
      this.#disarm(next)
      next.turn.resolve(this.#slots.take(priority))
      this.#observe.admitted?.(now - next.since, priority)
    }
  }

  /** It leaves without a slot. */
  #giveUp(waiting: Waiting, reason: RejectionReason): void {
    this.#room.leave(waiting.seat)
    this.#disarm(waiting)
    const error = this.#refuse(reason, waiting.standing, this.#clock.now() - waiting.since)
    const { reason: stopped } = waiting.signal
    waiting.turn.reject(stopped instanceof RouterError ? stopped : error)
  }

  /** It has left the room. */
  #disarm({ timer, signal, onAbort, standing }: Waiting): void {
    this.#clock.clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
    this.#depthChanged(standing)
  }

  #depthChanged({ priority }: Standing): void {
    this.#observe.depthChanged?.(this.#room.length, priority, this.#room.lengthOf(priority))
  }

  #refuse(reason: RejectionReason, standing: Standing, waitedMs: number): RouterError {
    this.#observe.rejected?.(reason, waitedMs, standing.priority)
    return this.#errorFor(reason, standing, waitedMs)
  }

  #errorFor(reason: RejectionReason, standing: Standing, waitedMs: number): RouterError {
    if (reason === 'client_closed')
      return new RouterError(reason, 'The client went away while its request was waiting.')
    const code = reason === 'shed' ? 'queue_full' : reason
    const of = this.#slots.isFreeFor('high') ? ' of class normal and low' : ''
    const message = `The router is at its limit of requests in flight${of}, and ${this.#fault(reason, waitedMs)}.`
    return new RouterError(code, message, { retryAfter: this.#retryAfter(standing) })
  }

  #fault(reason: RejectionReason, waitedMs: number): string {
    const seconds = Math.round(waitedMs / 100) / 10
    if (reason === 'queue_timeout') return `this one waited ${seconds} s for its turn`
    if (reason === 'queue_full') return 'its queue is full'
    return 'the place of this one in its queue went to one of a higher class, or of whom fewer wait'
  }

  /**
   * Seconds. By the pace of the turns, those that go first have had theirs by then; and none of those that wait now waits
   * longer than it may.
   */
  #retryAfter(standing: Standing): number {
    const ms = Math.min(this.#room.waitOf(standing, this.#clock.now()), this.queueTimeoutMs)
    return Math.max(1, Math.ceil(ms / 1000))
  }
}

class Waiting implements Waiter {
  readonly standing: Standing
  readonly since: number
  readonly signal: AbortSignal
  readonly turn: PromiseWithResolvers<Slot>
  declare seat: Seat<Waiting>
  declare onAbort: () => void
  timer: unknown

  constructor(standing: Standing, since: number, signal: AbortSignal, turn: PromiseWithResolvers<Slot>) {
    this.standing = standing
    this.since = since
    this.signal = signal
    this.turn = turn
  }
}
