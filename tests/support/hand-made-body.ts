import { type ByteSink, type RelayedBody, TransportError } from '../../app/upstream/http-client.ts'

/** The body of an answer, piece by piece by hand. */
export class HandMadeBody implements RelayedBody {
  readonly #pieces: (Uint8Array | undefined | TransportError)[] = []
  #waiting: (() => void) | undefined
  #sink: ByteSink | undefined
  #isFull = false
  cancelled = false

  /** Its sink is full, and something waits for it. */
  get waits(): boolean {
    return this.#isFull && this.#pieces.length > 0
  }

  put(...texts: (string | undefined | TransportError)[]): void {
    this.#pieces.push(...texts.map((text) => (typeof text === 'string' ? Buffer.from(text) : text)))
    this.#waiting?.()
    this.#push()
  }

  async read(): Promise<Uint8Array | undefined> {
    while (this.#pieces.length === 0)
      await new Promise<void>((resolve) => {
        this.#waiting = resolve
      })
    const piece = this.#pieces.shift()
    if (piece instanceof TransportError) throw piece
    return piece
  }

  async readAll(): Promise<Uint8Array> {
    const pieces: Uint8Array[] = []
    for (let piece = await this.read(); piece !== undefined; piece = await this.read()) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  flow(sink: ByteSink): void {
    this.#sink = sink
    this.#push()
  }

  resume(): void {
    this.#isFull = false
    this.#push()
  }

  /** Breaks at once, whatever its sink has not taken yet. */
  fail(): void {
    const sink = this.#sink
    this.#sink = undefined
    sink?.fail(new TransportError('reset', 'ECONNRESET'))
  }

  cancel(): void {
    this.cancelled = true
    this.#sink = undefined
    this.put(new TransportError('aborted', 'ABORTED'))
  }

  /** What it lends is overwritten when the call is over. */
  #push(): void {
    while (this.#sink !== undefined && !this.#isFull && this.#pieces.length > 0) {
      const sink = this.#sink
      const piece = this.#pieces.shift()
      if (piece instanceof Uint8Array) {
        this.#isFull = !sink.write(piece)
        piece.fill(0)
        continue
      }
      this.#sink = undefined
      if (piece === undefined) sink.end()
      else sink.fail(piece)
    }
  }
}
