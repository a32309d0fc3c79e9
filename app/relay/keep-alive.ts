import type { Clock } from '../runtime/clock.ts'
import type { ByteSource } from '../upstream/http-client.ts'

const comment = new TextEncoder().encode(': keep-alive\n\n')

/** A stream of events that says when nothing may be put into it. */
export interface Interruptible extends ByteSource {
  /** What has been read ends in the middle of an event. */
  readonly isWithinEvent: boolean
}

/** A stream of events with a comment in each of its silences, for whoever has asked for that. */
export class KeepAlive implements ByteSource {
  readonly #stream: Interruptible
  readonly #everyMs: number
  readonly #clock: Clock
  #pending: Promise<Uint8Array | undefined> | undefined

  constructor(stream: Interruptible, { everyMs, clock }: { everyMs: number; clock: Clock }) {
    this.#stream = stream
    this.#everyMs = everyMs
    this.#clock = clock
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.#pending === undefined) {
      this.#pending = this.#stream.read()
      // Its failure is reported when it is read; until then it must not count as unhandled.
      this.#pending.catch(() => {})
    }
    const next = await this.#orComment(this.#pending)
    if (next !== comment) this.#pending = undefined
    return next
  }

  cancel(): void {
    this.#stream.cancel()
  }

  /** Never within an event: what has been sent of one must be followed by the rest of it. */
  #orComment(next: Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    if (this.#stream.isWithinEvent) return next
    const { promise: silence, resolve } = Promise.withResolvers<Uint8Array>()
    const cancelTimer = this.#clock.after(this.#everyMs, () => resolve(comment))
    return Promise.race([next, silence]).finally(cancelTimer)
  }
}
