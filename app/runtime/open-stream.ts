import type { ByteSink, ByteSource } from '../upstream/http-client.ts'

/** A web stream that bytes are pushed into as fast as it is read itself, and no faster. */
export function openStream(source: ByteSource): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(new Pulled(source), { highWaterMark: 0 })
}

/** Takes one chunk with each pull. */
class Pulled implements ByteSink {
  readonly #source: ByteSource
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #written: () => void = () => {}

  constructor(source: ByteSource) {
    this.#source = source
  }

  /** The stream does not pull again before this one is settled. */
  pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    return new Promise((resolve) => {
      this.#written = resolve
      if (this.#controller !== undefined) {
        this.#source.resume()
      } else {
        this.#controller = controller
        this.#source.flow(this)
      }
    })
  }

  cancel(): void {
    this.#source.cancel()
  }

  write(bytes: Uint8Array): boolean {
    this.#controller?.enqueue(new Uint8Array(bytes))
    this.#written()
    return false
  }

  end(): void {
    this.#controller?.close()
    this.#written()
  }

  fail(error: unknown): void {
    this.#controller?.error(error)
    this.#written()
  }
}
