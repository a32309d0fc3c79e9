import { type ErrorCode, errorEvent, RouterError } from '../../http/errors.ts'
import type { EndReason } from '../request/request-record.ts'
import type { StopReason } from '../request/stop.ts'
import type { Clock } from '../runtime/clock.ts'
import { type ByteSink, type ByteSource, TransportError } from '../upstream/http-client.ts'
import type { Lease } from '../workers/lease.ts'
import type { StreamFacts } from './call.ts'
import type { AskPulse } from './engine-pulse.ts'
import { bufferOver, type EventScanner, eachEvent } from './event-scanner.ts'
import { bearsData, glanceAtEvent, readEvent } from './grammar.ts'
import type { HeldEvents } from './hold.ts'
import { faultWithin, settleFault } from './judge.ts'
import { LastEvents } from './last-events.ts'
import { Patience } from './patience.ts'
import { usageOf } from './usage.ts'
import type { Fault } from './verdicts.ts'
import type { WorkerError } from './worker-error.ts'

export interface EventStreamOptions {
  readonly stream: StreamFacts
  readonly lease: Lease
  readonly source: ByteSource
  /** What was held before the commit; sent first. */
  readonly held: HeldEvents
  /** Milliseconds of silence after which the stream is given up. */
  readonly idleMs: number
  /** Events up to this size are looked at; larger ones are passed on as they come. */
  readonly maxEventBytes: number
  readonly pulse: AskPulse
  readonly clock: Clock
}

const messages: Partial<Record<ErrorCode, string>> = {
  worker_lost: 'the worker was lost in the middle of the answer',
  stream_idle_timeout: 'the worker fell silent in the middle of the answer',
  request_timeout: 'the request took longer than its time limit',
  draining: 'the router is shutting down and the grace time is over',
}

const colon = 0x3a
const noBytes = new Uint8Array()

/** An error event too large to be read: large events are made by large inputs. */
const unread: WorkerError = { status: 400, message: 'an error event too large to be read' }

/**
 * A committed stream on its way from a worker to a client: bytes as they come, cut only at the ends of events. What the
 * worker's socket brings has been scanned and is with the client's when its call returns.
 *
 * It watches for the marker that ends a complete stream. Whatever ends it before that, a reset, a clean close, silence,
 * becomes one last event that says so: the status is long sent, and a mere end would look like success.
 */
export class EventStream implements ByteSource, ByteSink {
  readonly #facts: StreamFacts
  readonly #lease: Lease
  readonly #source: ByteSource
  readonly #scanner: EventScanner
  readonly #clock: Clock
  readonly #maxEventBytes: number
  readonly #patience: Patience
  #sink: ByteSink | undefined
  /** The client takes nothing at the moment. */
  #isFull = false
  #sourceFlows = false
  #held: Uint8Array
  /** The end marker has passed: from now on every end is a good one. */
  #complete = false
  /** The event that is being passed on is the end marker. */
  #passesEnd = false
  /** It is a comment. */
  #passesComment = false
  /** The worker reported an error within the stream: passed on, and the stream's end is no surprise. */
  #workerError: WorkerError | undefined
  #ended = false
  /** The event that says why the stream was ended, for when the client reads on. */
  #lastWords: Uint8Array | undefined
  /** The stream was ended within an event: nothing can be said any more, and the client's connection must break. */
  #cut: TransportError | undefined
  /** Tokens in the bytes that are looked at, and whether there is anything but comments among them. */
  #tokens = 0
  #lively = false
  readonly #last = new LastEvents()

  constructor({ stream, lease, source, held, idleMs, maxEventBytes, pulse, clock }: EventStreamOptions) {
    this.#facts = stream
    this.#lease = lease
    this.#source = source
    this.#scanner = held.scanner
    this.#clock = clock
    this.#maxEventBytes = maxEventBytes
    this.#held = held.bytes
    const giveUp = this.#interrupt
    this.#patience = new Patience({ lease, idleMs, pulse, clock, giveUp })
    stream.record.stop.waiting = this.#onStop
  }

  /** What has been pushed on ends in the middle of an event: nothing may be put in here. */
  get isWithinEvent(): boolean {
    return this.#scanner.isWithinEvent
  }

  readonly #onStop = (reason: StopReason): void => {
    if (reason !== 'client_closed') {
      this.#interrupt(reason)
    } else if (!this.#ended) {
      this.#leave()
      this.#close()
    }
  }

  flow(sink: ByteSink): void {
    this.#sink = sink
    if (this.#ended) {
      this.#close()
      return
    }
    this.#watch(this.#held, this.#clock.now())
    this.#send(this.#held)
    this.#held = noBytes
    if (!this.#ended && !this.#isFull) this.#flowOn()
  }

  resume(): void {
    this.#isFull = false
    if (this.#ended) this.#close()
    else this.#flowOn()
  }

  #flowOn(): void {
    this.#patience.begin()
    if (this.#sourceFlows) {
      this.#source.resume()
    } else {
      this.#sourceFlows = true
      this.#source.flow(this)
    }
  }

  /** The client has left. */
  cancel(): void {
    this.#sink = undefined
    if (!this.#ended) this.#leave()
  }

  write(chunk: Uint8Array): boolean {
    const now = this.#clock.now()
    let rest: Uint8Array | undefined = chunk
    while (rest !== undefined && !this.#ended)
      rest = this.#scanner.isWithinEvent ? this.#passOn(rest, now) : this.#whole(rest, now)
    return !this.#isFull
  }

  end(): void {
    const within = this.#scanner.isWithinEvent
    const rest = this.#scanner.takeRest()
    const last =
      rest === undefined || within ? undefined : glanceAtEvent(bufferOver(rest), this.#facts.dialect)
    if (last === 'end' && !this.#complete) {
      // The marker without the empty line behind it: nothing is missing but that.
      this.#complete = true
      this.#lastWords = rest
    }
    // An incomplete last event: only after the marker may it be dropped without a word.
    const whole = rest === undefined && !within
    if (this.#complete || (whole && (!this.#facts.endMarker || this.#finished()))) this.#endComplete()
    else this.#break('the stream ended without its end marker')
    this.#close()
  }

  fail(error: unknown): void {
    this.#break(error instanceof TransportError ? error.message : String(error))
    this.#close()
  }

  /** Sends whole events, if any has ended. */
  #whole(chunk: Uint8Array, now: number): undefined {
    const events = this.#scanner.push(chunk)
    if (events !== undefined) {
      this.#watch(events, now)
      this.#send(events)
    } else if (this.#scanner.heldBytes > this.#maxEventBytes) {
      // An event that grows is a sign of life; whether it is a comment, its end will show.
      const large = this.#scanner.pass()
      this.#passesComment = large[0] === colon
      this.#watch(large, now)
      this.#send(large)
    }
  }

  /** Sends what belongs to an event that is too large to be looked at; returns the rest. */
  #passOn(chunk: Uint8Array, now: number): Uint8Array | undefined {
    const bytes = this.#scanner.passOn(chunk)
    if (!this.#passesComment) this.#patience.heard(now)
    if (!this.#scanner.isWithinEvent) this.#complete ||= this.#passesEnd
    const passed = bytes === chunk.byteLength ? chunk : chunk.subarray(0, bytes)
    this.#last.keep(passed)
    this.#send(passed)
    return bytes === chunk.byteLength ? undefined : chunk.subarray(bytes)
  }

  #send(events: Uint8Array): void {
    if (this.#sink?.write(events) !== false) return
    this.#isFull = true
    this.#patience.pause()
  }

  #leave(): void {
    this.#source.cancel()
    // The official clients hang up as soon as they have read the end marker: they have got everything.
    if (this.#complete) this.#endComplete()
    else this.#end('client_closed', undefined, '')
  }

  /** Closes the books at once, not when the client reads on: one that has stopped reading must not hold its place. */
  readonly #interrupt = (code: ErrorCode, fault?: Fault): void => {
    if (this.#ended) return
    this.#finish(code, fault, code)
    this.#close()
  }

  #break(what: string): void {
    this.#finish('worker_lost', 'broken_off', what)
  }

  /** Says to the client what is left to say, as soon as it takes it. */
  #close(): void {
    const sink = this.#sink
    if (sink === undefined || this.#isFull) return
    this.#sink = undefined
    if (this.#cut !== undefined) {
      sink.fail(this.#cut)
    } else {
      if (this.#lastWords !== undefined) sink.write(this.#lastWords)
      sink.end()
    }
  }

  #watch(events: Uint8Array, now: number): void {
    this.#tokens = 0
    this.#lively = false
    eachEvent(events, this.#note)
    if (this.#complete && this.#scanner.isWithinEvent) {
      this.#complete = false
      this.#passesEnd = true
    }
    this.#last.keep(events)
    if (this.#lively) this.#patience.heard(now)
    if (this.#complete) this.#patience.complete()
    if (this.#tokens === 0) return
    this.#facts.record.tokens(this.#tokens, now)
    this.#lease.worker.noteActivity(now)
  }

  readonly #note = (event: Buffer): void => {
    const meaning = glanceAtEvent(event, this.#facts.dialect)
    // vLLM sends comments while its engine is dead, too: only what carries data is a sign of life.
    if (meaning !== 'silent' || bearsData(event)) this.#lively = true
    if (meaning === 'content') this.#tokens += 1
    else if (meaning === 'end') this.#complete = true
    else if (meaning === 'error') {
      const { error } = readEvent(event, this.#facts.dialect)
      this.#workerError = error ?? (this.#scanner.isWithinEvent ? unread : undefined)
    }
  }

  /** The one answer has said why it stops. Of several choices, each has a reason of its own. */
  #finished(): boolean {
    return this.#workerError !== undefined || (this.#facts.choices === 1 && this.#last.sayWhy)
  }

  /** Ends the stream, and keeps what is left to say about it; nothing where the client has everything. */
  #finish(code: ErrorCode, fault: Fault | undefined, why: string): void {
    this.#source.cancel()
    if (this.#complete) {
      this.#endComplete()
      return
    }
    this.#end(code as EndReason, fault, why)
    if (this.#scanner.isWithinEvent) this.#cut = new TransportError('reset', code)
    else this.#lastWords = errorEvent(new RouterError(code, messages[code] ?? why), this.#facts.dialect)
  }

  #endComplete(): void {
    const error = this.#workerError
    if (error === undefined) this.#end('completed', undefined, '')
    else this.#end('worker_error', faultWithin(error.status), `error event ${error.status} within the stream`)
  }

  /** @param fault of the worker; undefined where there is none */
  #end(reason: EndReason, fault: Fault | undefined, why: string): void {
    this.#ended = true
    this.#patience.stop()
    this.#facts.record.stop.waiting = undefined
    if (fault !== undefined) settleFault(this.#lease, fault, why)
    else this.#lease.settle(reason === 'completed' || reason === 'worker_error' ? 'success' : 'neutral')
    const { record } = this.#facts
    record.usage = usageOf(record, this.#last.bytes, true)
    record.end(reason)
  }
}
