import type { ByteSink, ByteSource } from '../upstream/http-client.ts'
import type { StreamBody } from './runtime.ts'

/**
 * A response body that bytes are pushed into, as fast as the client of Bun's server reads.
 *
 * @param onEnd all has been written
 */
export function bodyForClient(source: ByteSource, onEnd: () => void): StreamBody {
  return new ReadableStream(new BunClient(source, onEnd)) as StreamBody
}

/** The fastest body that Bun has: what is written goes to the client's socket at once. */
class BunClient implements Bun.DirectUnderlyingSource<Uint8Array>, ByteSink {
  readonly type = 'direct'
  readonly #source: ByteSource
  readonly #onEnd: () => void
  #controller: ReadableStreamDirectController | undefined
  #over: PromiseWithResolvers<void> | undefined
  #isFull = false

  constructor(source: ByteSource, onEnd: () => void) {
    this.#source = source
    this.#onEnd = onEnd
  }

  /** Called once. The body ends with the promise. */
  pull(controller: ReadableStreamDirectController): Promise<void> {
    this.#controller = controller
    this.#over = Promise.withResolvers()
    this.#source.flow(this)
    return this.#over.promise
  }

  /** The client has left. */
  cancel(): void {
    this.#controller = undefined
    this.#source.cancel()
    this.#over?.resolve()
  }

  write(bytes: Uint8Array): boolean {
    const controller = this.#controller
    if (controller === undefined) return true
    const written: number | Promise<number> = controller.write(bytes as Uint8Array<ArrayBuffer>)
    controller.flush()
    if (typeof written === 'number') return true
    if (!this.#isFull) written.then(this.#resume, this.#resume)
    this.#isFull = true
    return false
  }

  readonly #resume = (): void => {
    this.#isFull = false
    if (this.#controller !== undefined) this.#source.resume()
  }

  end(): void {
    this.#controller?.end()
    this.#controller = undefined
    this.#onEnd()
    this.#over?.resolve()
  }

  fail(): void {
    this.#controller = undefined
    // Bun resets the client's connection for any reason, and prints what is an Error: the source has told the log.
    this.#over?.reject(undefined)
  }
}
