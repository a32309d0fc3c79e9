import { type StopReason, stopError } from '../request/stop.ts'
import type { Clock } from '../runtime/clock.ts'
import {
  type ByteSource,
  type HeaderFields,
  type HttpClient,
  type PendingAnswer,
  type RelayedBody,
  TransportError,
  type WorkerResponse,
} from '../upstream/http-client.ts'
import type { Lease } from '../workers/lease.ts'
import type { HeldAnswer } from './attempt-failure.ts'
import type { Call } from './call.ts'
import type { AskPulse } from './engine-pulse.ts'
import { EventStream } from './event-stream.ts'
import { firstHeader, withRank, withTimeLeft } from './headers.ts'
import { holdEvents, holdPlain } from './hold.ts'
import {
  endedEarly,
  firstTokenTimeout,
  judgeAnswer,
  judgeFirstEvent,
  judgeTransport,
  letGo,
} from './judge.ts'
import { PlainStream } from './plain-stream.ts'

export interface ExchangeOptions {
  readonly client: HttpClient
  readonly clock: Clock
  /** Milliseconds until the first content of a stream. */
  readonly firstTokenMs: number
  /** Milliseconds between two chunks of a committed stream. */
  readonly idleMs: number
  /** Bytes of an answer held back before the commit. */
  readonly maxHoldBytes: number
  /** Events up to this size are looked at; larger ones are passed on as they come. */
  readonly maxEventBytes: number
  readonly pulse: AskPulse
}

/** Statuses whose answers have no body (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5). */
export const bodiless: ReadonlySet<number> = new Set([204, 205, 304])

/** What goes to the client: the commit. A body of bytes is complete; a source is still coming. */
export interface Answer {
  readonly status: number
  readonly headers: HeaderFields
  readonly body: Uint8Array | ByteSource
  /** A stream that holds nothing but the worker's own report of an error. */
  readonly reportsError?: boolean
  /** The body is a committed stream of events. */
  readonly isEventStream?: boolean
}

/**
 * A reset of a reused connection this soon after sending is taken for one that the worker closed while idle, just as the
 * request was on its way.
 */
const staleWithinMs = 100

/** Milliseconds that a plain answer may trickle before it is sent on as it comes, without the chance to retry. */
const plainHoldMs = 1000

/**
 * One attempt: the only door through which a client's bytes reach a worker.
 *
 * Nothing is committed until the worker has sent content (of a stream) or everything (of a short plain answer): vLLM
 * sends its 200 before prefill, so a status alone promises nothing. Until then every fault throws an AttemptFailure, and
 * another worker may be tried.
 *
 * @param fresh use no idle connection
 */
export function exchange(call: Call, lease: Lease, options: ExchangeOptions, fresh = false): Promise<Answer> {
  return new Attempt(call, lease, options, fresh).run()
}

class Attempt {
  readonly #call: Call
  readonly #lease: Lease
  readonly #options: ExchangeOptions
  readonly #startedAt: number
  #pending: PendingAnswer<RelayedBody>
  #timedOut = false
  #letGo = false
  #stopped: StopReason | undefined
  #cancelTimer: () => void = () => {}

  constructor(call: Call, lease: Lease, options: ExchangeOptions, fresh: boolean) {
    this.#call = call
    this.#lease = lease
    this.#options = options
    this.#startedAt = options.clock.now()
    this.#pending = this.#send(fresh)
    call.record.stop.waiting = this.#onStop
    lease.onLetGo = this.#onLetGo
    if (call.stream) {
      this.#cancelTimer = options.clock.after(options.firstTokenMs, () => {
        this.#timedOut = true
        this.#pending.abort()
      })
    }
  }

  async run(): Promise<Answer> {
    // One function for the common way of a short plain answer: each further asynchronous one costs 0.4 us on Bun.
    try {
      let answer: WorkerResponse<RelayedBody>
      try {
        answer = await this.#pending.head
      } catch (error) {
        answer = await this.#again(error)
      }
      const { status, headers, body } = answer
      const { record } = this.#call
      record.headAt = this.#options.clock.now()
      record.trace?.gotHead(status, record.headAt)
      if (status < 200 || status > 599) throw new TransportError('protocol', 'BAD_STATUS')
      if (status < 300 && isEventStream(answer)) return await this.#commitEvents(answer)
      if (bodiless.has(status)) return this.#commitBodiless(answer)
      // A short body of known length is of no use to anyone before it is whole; read at once, it costs least.
      if (isShort(answer, this.#options.maxHoldBytes)) {
        return this.#commitWhole({ status, headers, body: await body.readAll() })
      }
      return await this.#commitPlain(answer)
    } catch (error) {
      this.#pending.abort()
      throw this.#explain(error)
    } finally {
      this.#disarm()
    }
  }

  /** A committed stream has put itself into `waiting` by now; that stays. */
  #disarm(): void {
    this.#cancelTimer()
    if (this.#call.record.stop.waiting === this.#onStop) this.#call.record.stop.waiting = undefined
  }

  readonly #onLetGo = (): void => {
    this.#letGo = true
    this.#pending.abort()
  }

  readonly #onStop = (reason: StopReason): void => {
    this.#stopped = reason
    this.#pending.abort()
  }

  #send(fresh: boolean): PendingAnswer<RelayedBody> {
    const { method, path, body, record } = this.#call
    const { origin, pathPrefix } = this.#lease.worker
    const { client, clock } = this.#options
    const { deadline } = record
    let { headers } = this.#call
    if (record.trace !== undefined) headers = record.trace.fields(headers)
    if (deadline !== undefined) headers = withTimeLeft(headers, deadline - clock.now())
    if (this.#lease.rank !== undefined) headers = withRank(headers, this.#lease.rank)
    return client.send({ origin, path: pathPrefix + path, method, headers, body, fresh })
  }

  /** A worker may close an idle connection just when it is used again: that is nobody's fault, and tried once more. */
  #again(error: unknown): Promise<WorkerResponse<RelayedBody>> {
    const stale =
      error instanceof TransportError &&
      error.fault === 'reset' &&
      error.reused &&
      this.#options.clock.now() - this.#startedAt < staleWithinMs
    if (!stale || this.#isAborted) throw error
    this.#pending = this.#send(true)
    // Where nobody listens any more, it was no stale connection: the worker has died, perhaps of this request.
    return this.#pending.head.catch((again) => Promise.reject(isUnreachable(again) ? error : again))
  }

  #commitBodiless({ status, headers }: WorkerResponse): Answer {
    this.#pending.abort()
    this.#lease.showLife()
    this.#lease.settle('success')
    return { status, headers, body: new Uint8Array() }
  }

  #commitWhole(whole: HeldAnswer): Answer {
    const failure = judgeAnswer(whole)
    if (failure !== undefined) throw failure
    // An error of the client's is found without the engine.
    if (whole.status < 400) this.#lease.showLife()
    this.#lease.settle(whole.status < 500 ? 'success' : 'neutral')
    return whole
  }

  async #commitPlain({ status, headers, body }: WorkerResponse<RelayedBody>): Promise<Answer> {
    const { maxHoldBytes, clock } = this.#options
    // Streamed audio, for instance: whoever listens wants its first bytes.
    const untilFirst = status < 300 && (this.#call.stream || isMedia({ headers }))
    const held = await holdPlain(body, { maxBytes: maxHoldBytes, maxMs: plainHoldMs, untilFirst, clock })
    if (held.complete) return this.#commitWhole({ status, headers, body: held.bytes })
    this.#throwIfAborted()
    if (status < 400) this.#lease.showLife()
    return { status, headers, body: this.#plainStream(held.rest, status) }
  }

  #plainStream(source: ByteSource, status: number): PlainStream {
    const { record, stream, kind } = this.#call
    kind.forgetPrompt()
    const { idleMs, pulse, clock } = this.#options
    return new PlainStream({
      source,
      record,
      lease: this.#lease,
      status,
      idleMs: stream ? idleMs : Number.POSITIVE_INFINITY,
      pulse,
      clock,
    })
  }

  async #commitEvents(answer: WorkerResponse<RelayedBody>): Promise<Answer> {
    const { maxHoldBytes, maxEventBytes, idleMs, pulse, clock } = this.#options
    const { status, headers } = answer
    const held = await holdEvents(answer.body, {
      dialect: this.#call.dialect,
      maxBytes: maxHoldBytes,
      maxEventBytes,
      passComment: this.#call.longHold?.passComment,
    })
    if (held.end === 'broken') throw endedEarly()
    if (held.error !== undefined) {
      const failure = judgeFirstEvent(held.error, {
        ...{ status, headers, body: held.bytes },
        reportsError: true,
      })
      if (failure !== undefined) throw failure
    }
    this.#throwIfAborted()
    this.#lease.showLife()
    const { dialect, endMarker, choices, record, kind } = this.#call
    kind.forgetPrompt()
    const stream = new EventStream({
      stream: { dialect, endMarker, choices, record },
      lease: this.#lease,
      source: answer.body,
      held,
      idleMs,
      maxEventBytes,
      pulse,
      clock,
    })
    return { status, headers, body: stream, isEventStream: true }
  }

  /** The last bytes of the hold and the order to stop can meet; a stream made then would blame the worker for its end. */
  #throwIfAborted(): void {
    if (this.#isAborted) throw new TransportError('aborted', 'ABORTED')
  }

  get #isAborted(): boolean {
    return this.#stopped !== undefined || this.#timedOut || this.#letGo
  }

  /** The worker has sent tokens to others since this request was sent. */
  get #isBusyWithOthers(): boolean {
    return this.#lease.worker.signs.heardAt > this.#startedAt
  }

  #explain(error: unknown): unknown {
    if (this.#stopped !== undefined) return stopError(this.#stopped)
    if (this.#letGo) return letGo()
    if (this.#timedOut) return firstTokenTimeout(this.#options.firstTokenMs, this.#isBusyWithOthers)
    return error instanceof TransportError ? judgeTransport(error) : error
  }
}

function isUnreachable(error: unknown): boolean {
  return error instanceof TransportError && error.fault === 'unreachable'
}

/** Its length is known, and may be held. */
function isShort({ headers }: WorkerResponse, maxBytes: number): boolean {
  const length = firstHeader(headers, 'content-length')
  return length !== undefined && Number(length) <= maxBytes
}

/** A compressed one cannot be watched: it is passed on as it is, like any other answer. */
function isEventStream({ headers }: WorkerResponse): boolean {
  if ((firstHeader(headers, 'content-encoding') ?? 'identity') !== 'identity') return false
  return firstHeader(headers, 'content-type')?.toLowerCase().startsWith('text/event-stream') ?? false
}

/** Sound or pictures: read while they come. */
function isMedia({ headers }: Pick<WorkerResponse, 'headers'>): boolean {
  return /^(?:audio|video)\//i.test(firstHeader(headers, 'content-type') ?? '')
}
