import type { ByteSink, ByteSource } from '../../app/upstream/http-client.ts'

type End = { readonly error: unknown } | 'end'

/** A client that takes one chunk at a time: a stream flows as far as it is read, and no further. */
export class PullingClient implements ByteSink {
  readonly #source: ByteSource
  readonly #chunks: Uint8Array[] = []
  #over: End | undefined
  #flows = false
  #isFull = false
  #wake: () => void = () => {}

  constructor(source: ByteSource) {
    this.#source = source
  }

  /** The next chunk; undefined after the last. Rejects when the stream was broken off. */
  async read(): Promise<Uint8Array | undefined> {
    if (this.#chunks.length === 0 && this.#over === undefined) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#ask()
      await woken
    }
    const chunk = this.#chunks.shift()
    if (chunk !== undefined || this.#over === 'end') return chunk
    throw (this.#over as { readonly error: unknown }).error
  }

  write(bytes: Uint8Array): boolean {
    this.#told()
    this.#chunks.push(Buffer.from(bytes))
    this.#isFull = true
    return false
  }

  end(): void {
    this.#told()
    this.#over = 'end'
  }

  fail(error: unknown): void {
    this.#told()
    this.#over = { error }
  }

  #ask(): void {
    if (!this.#flows) {
      this.#flows = true
      this.#source.flow(this)
    } else if (this.#isFull) {
      this.#isFull = false
      this.#source.resume()
    }
  }

  #told(): void {
    if (this.#over !== undefined) throw new Error('the stream went on after its end')
    this.#wake()
  }
}
