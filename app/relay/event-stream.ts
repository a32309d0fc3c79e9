import { type ErrorCode, errorEvent, RouterError } from '../../middleware/errors.ts'
import type { Outcome } from '../../policies/resilience/outcome.ts'
import type { Clock } from '../clock.ts'
import { type ByteSource, TransportError } from '../runtime/http-client.ts'
import type { EndReason } from '../telemetry/request-record.ts'
import type { Lease } from '../workers/lease.ts'
import type { StreamFacts } from './call.ts'
import { bufferOver, type EventScanner, eachEvent } from './event-scanner.ts'
import { glanceAtEvent, readEvent, type WorkerError } from './grammar.ts'
import type { HeldEvents } from './hold.ts'
import { outcomeOfStatus } from './judge.ts'
import { SilenceWatch } from './silence-watch.ts'
import { findUsage } from './usage.ts'

export interface EventStreamOptions {
  readonly stream: StreamFacts
  readonly lease: Lease
  readonly source: ByteSource
  /** What was held before the commit; sent first. */
  readonly held: HeldEvents
  /** Milliseconds of silence after which the stream is given up. */
  readonly idleMs: number
  readonly maxEventBytes: number
  readonly clock: Clock
}

const messages: Partial<Record<ErrorCode, string>> = {
  worker_lost: 'the worker was lost in the middle of the answer',
  stream_idle_timeout: 'the worker fell silent in the middle of the answer',
  request_timeout: 'the request took longer than its time limit',
  draining: 'the router is shutting down and the grace time is over',
}

/** Bytes at the end of a chunk that can hold its usage: its event is small, and the last but one or two. */
const keptBytes = 16 * 1024

/** The end of a chunk, without keeping all of it: Bun hands over half a megabyte at a time when the client is slow. */
function endOf(events: Uint8Array): Uint8Array {
  return events.byteLength <= keptBytes ? events : new Uint8Array(events.subarray(-keptBytes))
}

/**
 * A committed stream on its way from a worker to a client: bytes as they come, cut only at the ends of events.
 *
 * It watches for the marker that ends a complete stream. Whatever ends it before that, a reset, a clean close, silence,
 * becomes one last event that says so: the status is long sent, and a mere end would look like success.
 */
export class EventStream implements ByteSource {
  readonly #facts: StreamFacts
  readonly #lease: Lease
  readonly #source: ByteSource
  readonly #scanner: EventScanner
  readonly #clock: Clock
  readonly #maxEventBytes: number
  #held: Uint8Array | undefined
  /** The end marker has passed: from now on every end is a good one. */
  #complete = false
  /** The worker reported an error within the stream: passed on, and the stream's end is no surprise. */
  #workerError: WorkerError | undefined
  #interruption: ErrorCode | undefined
  #ended = false
  /** The event that says why the stream was ended, for when the client reads on. */
  #lastWords: Uint8Array | undefined
  /** Tokens in the bytes that are looked at. */
  #tokens = 0
  /** The last events, for their usage. */
  #last: Uint8Array | undefined
  #beforeLast: Uint8Array | undefined
  readonly #silence: SilenceWatch

  constructor({ stream, lease, source, held, idleMs, maxEventBytes, clock }: EventStreamOptions) {
    this.#facts = stream
    this.#lease = lease
    this.#source = source
    this.#scanner = held.scanner
    this.#clock = clock
    this.#maxEventBytes = maxEventBytes
    this.#held = held.bytes
    this.#silence = new SilenceWatch(idleMs, clock, () => this.#interrupt('stream_idle_timeout'))
    stream.record.stop.waiting = (reason) =>
      reason === 'client_closed' ? this.cancel() : this.#interrupt(reason)
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.#held !== undefined) {
      const held = this.#held
      this.#held = undefined
      if (this.#ended) return this.#sayLastWords()
      this.#watch(held)
      return held
    }
    if (this.#ended) return this.#sayLastWords()
    for (;;) {
      let chunk: Uint8Array | undefined
      try {
        this.#silence.begin()
        chunk = await this.#source.read()
        this.#silence.end()
      } catch (error) {
        if (this.#ended) return this.#sayLastWords()
        return this.#broken(error instanceof TransportError ? error.message : String(error))
      }
      if (this.#ended) return this.#sayLastWords()
      if (chunk === undefined) return this.#endOfSource()
      const events = this.#scanner.push(chunk)
      if (this.#scanner.heldBytes > this.#maxEventBytes) {
        return this.#broken(`an event of more than ${this.#maxEventBytes} bytes`)
      }
      if (events === undefined) continue
      this.#watch(events)
      return events
    }
  }

  /** The client has left. */
  cancel(): void {
    if (this.#ended) return
    this.#source.cancel()
    // The official clients hang up as soon as they have read the end marker: they have got everything.
    if (this.#complete) this.#endComplete()
    else this.#end('client_closed', 'neutral', '')
  }

  /** Closes the books at once, not with the next read: a client that has stopped reading must not hold its place. */
  #interrupt(code: ErrorCode): void {
    if (this.#ended) return
    this.#interruption = code
    this.#lastWords = this.#broken(code)
  }

  #sayLastWords(): Uint8Array | undefined {
    const words = this.#lastWords
    this.#lastWords = undefined
    return words
  }

  #watch(events: Uint8Array): void {
    this.#tokens = 0
    eachEvent(events, this.#note)
    this.#beforeLast = this.#last
    this.#last = endOf(events)
    if (this.#tokens === 0) return
    const now = this.#clock.now()
    this.#facts.record.tokens(this.#tokens, now)
    this.#lease.worker.hear(now)
  }

  readonly #note = (event: Buffer): void => {
    const meaning = glanceAtEvent(event, this.#facts.dialect)
    if (meaning === 'content') this.#tokens += 1
    else if (meaning === 'end') this.#complete = true
    else if (meaning === 'error') this.#workerError = readEvent(event, this.#facts.dialect).error
  }

  #endOfSource(): Uint8Array | undefined {
    const rest = this.#scanner.takeRest()
    if (
      rest !== undefined &&
      !this.#complete &&
      glanceAtEvent(bufferOver(rest), this.#facts.dialect) === 'end'
    ) {
      // The marker without the empty line behind it: nothing is missing but that.
      this.#complete = true
      this.#endComplete()
      return rest
    }
    // An incomplete last event: only after the marker may it be dropped without a word.
    const whole = rest === undefined
    if (this.#complete || (whole && (!this.#facts.endMarker || this.#finished()))) {
      this.#endComplete()
      return undefined
    }
    return this.#broken('the stream ended without its end marker')
  }

  /** A server without end markers has at least said why it stopped. */
  #finished(): boolean {
    return (
      this.#workerError !== undefined ||
      /"(?:finish|stop)_reason": ?"/.test(this.#lastEvents().toString('latin1'))
    )
  }

  /** Ends the stream and returns the event that says so; none where the client has everything. */
  #broken(what: string): Uint8Array | undefined {
    this.#source.cancel()
    if (this.#complete) {
      this.#endComplete()
      return undefined
    }
    const code = this.#interruption ?? 'worker_lost'
    const ours = code === 'draining' || code === 'request_timeout'
    this.#end(code as EndReason, ours ? 'neutral' : 'failure', code === 'worker_lost' ? what : code)
    return errorEvent(new RouterError(code, messages[code] ?? what), this.#facts.dialect)
  }

  #endComplete(): void {
    const error = this.#workerError
    if (error === undefined) this.#end('completed', 'success', '')
    else
      this.#end(
        'worker_error',
        outcomeOfStatus(error.status),
        `error event ${error.status} within the stream`,
      )
  }

  #end(reason: EndReason, outcome: Outcome, why: string): void {
    this.#ended = true
    this.#silence.stop()
    this.#facts.record.stop.waiting = undefined
    this.#lease.settle(outcome, why)
    const { record } = this.#facts
    record.usage = findUsage(this.#lastEvents())
    record.end(reason)
  }

  /** The last two chunks: a usage event may follow the one with the finish reason. */
  #lastEvents(): Buffer {
    return Buffer.concat([this.#beforeLast, this.#last].filter((part) => part !== undefined))
  }
}
