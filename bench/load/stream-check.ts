import {
  lastEvents,
  numberAt,
  roleEvent,
  streamBytes,
  timeAt,
  timeEnd,
  tokenEventBytes,
} from '../workers/answers.ts'

/**
 * Follows one stream of a worker of the benchmark: each token must be there, in order and whole, between the role and the
 * end. `onToken` gets the time at which the worker sent it.
 */
export class StreamCheck {
  readonly #tokens: number
  readonly #onToken: (sentAt: number) => void
  #held: Buffer | undefined
  #bytes = 0
  #next = 0
  #last = ''
  /** The first thing that was wrong. */
  fault: string | undefined

  constructor(tokens: number, onToken: (sentAt: number) => void) {
    this.#tokens = tokens
    this.#onToken = onToken
  }

  push(body: Buffer): void {
    this.#bytes += body.length
    const bytes = this.#held === undefined ? body : Buffer.concat([this.#held, body])
    let at = 0
    for (;;) {
      const end = bytes.indexOf('\n\n', at)
      if (end === -1) break
      this.#event(bytes, at, end + 2)
      at = end + 2
    }
    this.#held = at === bytes.length ? undefined : bytes.subarray(at)
  }

  /** The stream has ended; returns what was wrong with it, if anything. */
  end(): string | undefined {
    if (this.#next !== this.#tokens) this.fault ??= `${this.#next} of ${this.#tokens} tokens`
    if (this.#bytes !== streamBytes(this.#tokens))
      this.fault ??= `${this.#bytes} bytes instead of ${streamBytes(this.#tokens)}`
    if (!lastEvents.endsWith(this.#last)) this.fault ??= `no end mark but ${this.#last}`
    return this.fault
  }

  #event(bytes: Buffer, from: number, to: number): void {
    if (to - from === tokenEventBytes) {
      const number = Number(bytes.toString('latin1', from + numberAt, from + timeAt))
      if (number !== this.#next) this.fault ??= `token ${number} instead of ${this.#next}`
      this.#next++
      this.#onToken(Number(bytes.toString('latin1', from + timeAt, from + timeEnd)))
      return
    }
    this.#last = bytes.toString('latin1', from, to)
    if (this.#last !== roleEvent && !lastEvents.includes(this.#last))
      this.fault ??= `unknown event ${this.#last.slice(0, 200)}`
  }
}
