/**
 * Reads HTTP/1.1 answers off one connection, as little as a load generator must understand: status, length, chunks. Calls
 * `onBody` with pieces of the body as they come and `onEnd` after the last; throws on what is no such answer.
 */
export class AnswerReader {
  readonly #onBody: (bytes: Buffer) => void
  readonly #onEnd: () => void
  #state: 'head' | 'length' | 'until-close' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailer' = 'head'
  /** Bytes of a head or a line that is not complete. */
  #held: Buffer | undefined
  #left = 0
  status = 0

  constructor(onBody: (bytes: Buffer) => void, onEnd: () => void) {
    this.#onBody = onBody
    this.#onEnd = onEnd
  }

  /** The connection is at its end; false when that cuts an answer off. */
  close(): boolean {
    if (this.#state === 'until-close') this.#finish()
    return this.#state === 'head' && this.#held === undefined
  }

  push(received: Buffer): void {
    const bytes = this.#held === undefined ? received : Buffer.concat([this.#held, received])
    this.#held = undefined
    let at = 0
    while (at < bytes.length) {
      const next = this.#take(bytes, at)
      if (next === undefined) {
        this.#held = bytes.subarray(at)
        return
      }
      at = next
    }
  }

  /** Consumes one part from `at`; returns where the next begins, or undefined when it is not complete. */
  #take(bytes: Buffer, at: number): number | undefined {
    switch (this.#state) {
      case 'head':
        return this.#takeHead(bytes, at)
      case 'length':
      case 'chunk':
        return this.#takeData(bytes, at)
      case 'until-close':
        this.#onBody(bytes.subarray(at))
        return bytes.length
      default:
        return this.#takeLine(bytes, at)
    }
  }

  #takeHead(bytes: Buffer, at: number): number | undefined {
    const end = bytes.indexOf('\r\n\r\n', at)
    if (end === -1) return undefined
    const head = bytes.toString('latin1', at, end + 2)
    this.status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1])
    if (!(this.status >= 200)) throw new Error(`unexpected head: ${head}`)
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
    if (/\r\ntransfer-encoding: *chunked/i.test(head)) this.#state = 'chunk-size'
    else if (length === undefined) this.#state = 'until-close'
    else {
      this.#left = Number(length)
      this.#state = 'length'
      if (this.#left === 0) this.#finish()
    }
    return end + 4
  }

  #takeData(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left)
    this.#left -= end - at
    this.#onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end))
    if (this.#left === 0) {
      if (this.#state === 'chunk') this.#state = 'chunk-end'
      else this.#finish()
    }
    return end
  }

  #takeLine(bytes: Buffer, at: number): number | undefined {
    const end = bytes.indexOf('\r\n', at)
    if (end === -1) return undefined
    if (this.#state === 'chunk-end') {
      if (end !== at) throw new Error('a chunk is longer than its size says')
      this.#state = 'chunk-size'
    } else if (this.#state === 'trailer') {
      if (end === at) this.#finish()
    } else {
      this.#left = Number.parseInt(bytes.toString('latin1', at, end), 16)
      if (Number.isNaN(this.#left)) throw new Error('a chunk has no size')
      this.#state = this.#left === 0 ? 'trailer' : 'chunk'
    }
    return end + 2
  }

  #finish(): void {
    this.#state = 'head'
    this.#onEnd()
  }
}
