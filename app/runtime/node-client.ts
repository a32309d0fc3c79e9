import type { ServerResponse } from 'node:http'
import type { ByteSink, ByteSource } from '../upstream/http-client.ts'

/** Pushes a stream to a client of Node's server whose head is written, as fast as the client reads. */
export function flowToClient(source: ByteSource, outgoing: ServerResponse): void {
  // Nothing would tell that it has left.
  if (outgoing.destroyed) source.cancel()
  else source.flow(new NodeClient(source, outgoing))
}

class NodeClient implements ByteSink {
  readonly #outgoing: ServerResponse

  constructor(source: ByteSource, outgoing: ServerResponse) {
    this.#outgoing = outgoing
    outgoing.on('drain', () => source.resume())
    outgoing.once('close', () => {
      if (!outgoing.writableFinished) source.cancel()
    })
    outgoing.on('error', () => {})
  }

  write(bytes: Uint8Array): boolean {
    // The socket may keep what it is given.
    return this.#outgoing.write(Buffer.from(bytes))
  }

  end(): void {
    this.#outgoing.end()
  }

  /** A reset: to a client of HTTP/1.0, a mere close would be the proper end of the body. */
  fail(): void {
    this.#outgoing.socket?.resetAndDestroy()
    this.#outgoing.destroy()
  }
}
