import type { Outcome } from '../../policies/resilience/outcome.ts'
import type { Clock } from '../clock.ts'
import type { ByteSource } from '../runtime/http-client.ts'
import type { EndReason, RequestRecord } from '../telemetry/request-record.ts'
import type { Lease } from '../workers/lease.ts'
import { outcomeOfStatus } from './judge.ts'
import { SilenceWatch } from './silence-watch.ts'

export interface PlainStreamOptions {
  readonly source: ByteSource
  readonly record: RequestRecord
  readonly lease: Lease
  readonly status: number
  /** Milliseconds of silence after which the body is given up. */
  readonly idleMs: number
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
  readonly #silence: SilenceWatch
  #ended = false

  constructor({ source, record, lease, status, idleMs, clock }: PlainStreamOptions) {
    this.#source = source
    this.#record = record
    this.#lease = lease
    this.#status = status
    this.#silence = new SilenceWatch(idleMs, clock, () =>
      this.#break('stream_idle_timeout', 'failure', 'stream_idle_timeout'),
    )
    record.stop.waiting = (reason) => this.#break(reason, 'neutral', reason)
  }

  async read(): Promise<Uint8Array | undefined> {
    try {
      this.#silence.begin()
      const chunk = await this.#source.read()
      this.#silence.end()
      if (chunk === undefined) this.#end('completed', outcomeOfStatus(this.#status), `status ${this.#status}`)
      return chunk
    } catch (error) {
      this.#break('worker_lost', 'failure', error instanceof Error ? error.message : String(error))
      throw error
    }
  }

  /** The client has left. */
  cancel(): void {
    this.#break('client_closed', 'neutral', '')
  }

  #break(reason: EndReason, outcome: Outcome, why: string): void {
    this.#source.cancel()
    this.#end(reason, outcome, why)
  }

  #end(reason: EndReason, outcome: Outcome, why: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#silence.stop()
    this.#record.stop.waiting = undefined
    this.#lease.settle(outcome, why)
    this.#record.end(reason)
  }
}
