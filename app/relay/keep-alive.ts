import type { Clock } from '../runtime/clock.ts'
import type { ByteSink, ByteSource } from '../upstream/http-client.ts'
import { SilenceWatch } from './silence-watch.ts'

const comment = new TextEncoder().encode(': keep-alive\n\n')

/** A stream of events that says when nothing may be put into it. */
export interface Interruptible extends ByteSource {
  /** What has been pushed on ends in the middle of an event. */
  readonly isWithinEvent: boolean
}

/** A stream of events with a comment in each of its silences, for whoever has asked for that. */
export class KeepAlive implements ByteSource, ByteSink {
  readonly #stream: Interruptible
  readonly #everyMs: number
  readonly #clock: Clock
  #silence: SilenceWatch | undefined
  #sink: ByteSink | undefined

  constructor(stream: Interruptible, { everyMs, clock }: { everyMs: number; clock: Clock }) {
    this.#stream = stream
    this.#everyMs = everyMs
    this.#clock = clock
  }

  flow(sink: ByteSink): void {
    this.#sink = sink
    this.#silence = new SilenceWatch(this.#everyMs, this.#clock, { onSilence: this.#comment })
    this.#silence.begin()
    this.#stream.flow(this)
  }

  resume(): void {
    this.#silence?.begin()
    this.#stream.resume()
  }

  cancel(): void {
    this.#leaveSink()
    this.#stream.cancel()
  }

  /** While the client does not read, nobody waits for the worker. */
  write(bytes: Uint8Array): boolean {
    this.#silence?.heard(this.#clock.now())
    const takesMore = this.#sink?.write(bytes) ?? true
    if (!takesMore) this.#silence?.pause()
    return takesMore
  }

  end(): void {
    this.#leaveSink()?.end()
  }

  fail(error: unknown): void {
    this.#leaveSink()?.fail(error)
  }

  /** Never within an event: what has been sent of one must be followed by the rest of it. */
  readonly #comment = (): void => {
    if (!this.#stream.isWithinEvent) this.write(comment)
  }

  /** It is told of an end once. */
  #leaveSink(): ByteSink | undefined {
    const sink = this.#sink
    this.#sink = undefined
    this.#silence?.stop()
    return sink
  }
}
