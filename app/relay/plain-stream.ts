import type { Outcome } from '../../policies/resilience/outcome.ts'
import type { EndReason, RequestRecord } from '../request/request-record.ts'
import type { StopReason } from '../request/stop.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ByteSource } from '../upstream/http-client.ts'
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

/**
 * A committed body that is not a stream of events, too large or too slow to be held whole. If it breaks, the client's
 * connection is broken too: there is no other way left to say that the body is not complete.
 */
export class PlainStream implements ByteSource {
  readonly #source: ByteSource
  readonly #record: RequestRecord
  readonly #lease: Lease
  readonly #status: number
  readonly #patience: Patience
  #ended = false

  constructor({ source, record, lease, status, idleMs, pulse, clock }: PlainStreamOptions) {
    this.#source = source
    this.#record = record
    this.#lease = lease
    this.#status = status
    const giveUp = (code: EndReason, fault: Fault) => this.#break(code, fault, code)
    this.#patience = new Patience({ lease, idleMs, pulse, clock, giveUp })
    record.stop.waiting = this.#onStop
  }

  readonly #onStop = (reason: StopReason): void => this.#break(reason, undefined, reason)

  async read(): Promise<Uint8Array | undefined> {
    try {
      this.#patience.begin()
      const chunk = await this.#source.read()
      this.#patience.end()
      if (chunk === undefined) this.#complete()
      return chunk
    } catch (error) {
      this.#break('worker_lost', 'broken_off', error instanceof Error ? error.message : String(error))
      throw error
    }
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
    this.#break('client_closed', undefined, '')
  }

  #complete(): void {
    this.#end('completed', faultWithin(this.#status), `status ${this.#status}`, 'success')
  }

  #break(reason: EndReason, fault: Fault | undefined, why: string): void {
    this.#source.cancel()
    this.#end(reason, fault, why)
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
