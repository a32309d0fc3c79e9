import type { Outcome } from '../../policies/resilience/outcome.ts'
import type { EndReason, RequestRecord } from '../request/request-record.ts'
import type { StopReason } from '../request/stop.ts'
import type { Clock } from '../runtime/clock.ts'
import { type ByteSink, type ByteSource, TransportError } from '../upstream/http-client.ts'
import type { Lease } from '../workers/lease.ts'
import type { AskPulse } from './engine-pulse.ts'
import { faultWithin, settleFault } from './judge.ts'
import { Patience } from './patience.ts'
import type { Fault } from './verdicts.ts'

export interface PlainStreamOptions {
  readonly source: ByteSource
  readonly record: RequestRecord
  readonly lease: Lease
  readonly status: number
  /** Milliseconds of silence after which the body is given up. */
  readonly idleMs: number
  readonly pulse: AskPulse
  readonly clock: Clock
}

const cut = new TransportError('reset', 'CUT_OFF')

/**
 * A committed body that is not a stream of events, too large or too slow to be held whole. If it breaks, the client's
 * connection is broken too: there is no other way left to say that the body is not complete.
 */
export class PlainStream implements ByteSource, ByteSink {
  readonly #source: ByteSource
  readonly #record: RequestRecord
  readonly #lease: Lease
  readonly #status: number
  readonly #patience: Patience
  readonly #clock: Clock
  #sink: ByteSink | undefined
  #ended = false

  constructor({ source, record, lease, status, idleMs, pulse, clock }: PlainStreamOptions) {
    this.#source = source
    this.#record = record
    this.#lease = lease
    this.#status = status
    this.#clock = clock
    const giveUp = (code: EndReason, fault: Fault) => this.#break(code, fault, code)
    this.#patience = new Patience({ lease, idleMs, pulse, clock, giveUp })
    record.stop.waiting = this.#onStop
  }

  readonly #onStop = (reason: StopReason): void => this.#break(reason, undefined, reason)

  flow(sink: ByteSink): void {
    this.#sink = sink
    if (this.#ended) {
      this.#leaveSink()?.fail(cut)
      return
    }
    this.#patience.begin()
    this.#source.flow(this)
  }

  resume(): void {
    if (this.#ended) return
    this.#patience.begin()
    this.#source.resume()
  }

  write(bytes: Uint8Array): boolean {
    this.#patience.heard(this.#clock.now())
    const takesMore = this.#sink!.write(bytes)
    if (!takesMore) this.#patience.pause()
    return takesMore
  }

  end(): void {
    this.#end('completed', faultWithin(this.#status), `status ${this.#status}`, 'success')
    this.#leaveSink()?.end()
  }

  fail(error: unknown): void {
    this.#break('worker_lost', 'broken_off', error instanceof Error ? error.message : String(error))
  }

  /** Another worker is asked instead: the request goes on. */
  abandon(): void {
    this.#source.cancel()
    if (this.#ended) return
    this.#ended = true
    this.#patience.stop()
    this.#record.stop.waiting = undefined
    this.#lease.settle('neutral')
  }

  /** The client has left. */
  cancel(): void {
    this.#sink = undefined
    this.#break('client_closed', undefined, '')
  }

  #break(reason: EndReason, fault: Fault | undefined, why: string): void {
    this.#source.cancel()
    this.#end(reason, fault, why)
    this.#leaveSink()?.fail(cut)
  }

  /** It is told of an end once. */
  #leaveSink(): ByteSink | undefined {
    const sink = this.#sink
    this.#sink = undefined
    return sink
  }

  #end(reason: EndReason, fault: Fault | undefined, why: string, outcome: Outcome = 'neutral'): void {
    if (this.#ended) return
    this.#ended = true
    this.#patience.stop()
    this.#record.stop.waiting = undefined
    if (fault !== undefined) settleFault(this.#lease, fault, why)
    else this.#lease.settle(outcome, why)
    this.#record.end(reason)
  }
}
