/** Bytes at the end of a chunk that can hold its usage: its event is small, and the last but one or two. */
const keptBytes = 16 * 1024

/** The last two chunks of a stream: a usage event may follow the one with the finish reason. */
export class LastEvents {
  #last: Uint8Array | undefined
  #beforeLast: Uint8Array | undefined

  /** @param events lent: a copy is kept */
  keep(events: Uint8Array): void {
    this.#beforeLast = this.#last
    this.#last = Buffer.from(events.byteLength <= keptBytes ? events : events.subarray(-keptBytes))
  }

  /** A server without end markers has at least said why it stopped. */
  get sayWhy(): boolean {
    return /"(?:finish|stop)_reason": ?"/.test(this.bytes.toString('latin1'))
  }

  get bytes(): Buffer {
    return Buffer.concat([this.#beforeLast, this.#last].filter((part) => part !== undefined))
  }
}
