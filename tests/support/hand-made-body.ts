import { type AnswerBody, TransportError } from '../../app/upstream/http-client.ts'

/** The body of an answer, piece by piece by hand. */
export class HandMadeBody implements AnswerBody {
  readonly #pieces: (Uint8Array | undefined | TransportError)[] = []
  #waiting: (() => void) | undefined
  cancelled = false

  put(...texts: (string | undefined | TransportError)[]): void {
    this.#pieces.push(...texts.map((text) => (typeof text === 'string' ? Buffer.from(text) : text)))
    this.#waiting?.()
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

  cancel(): void {
    this.cancelled = true
    this.put(new TransportError('aborted', 'ABORTED'))
  }
}
