// Imported, because the global one is a getter on Node, called for each token.
import { Buffer } from 'node:buffer'
import type { ServerResponse } from 'node:http'
import type { ByteSink, ByteSource } from '../upstream/http-client.ts'

/** Pushes a stream to a client of Node's server whose head is ready, as fast as the client reads. */
export function flowToClient(source: ByteSource, outgoing: ServerResponse): void {
  // Nothing would tell that it has left.
  if (outgoing.destroyed) source.cancel()
  else source.flow(new NodeClient(source, outgoing))
}

class NodeClient implements ByteSink {
  readonly #source: ByteSource
  readonly #outgoing: ServerResponse
  /** With the first write. */
  #headIsOut = false
  #isFull = false

  constructor(source: ByteSource, outgoing: ServerResponse) {
    this.#source = source
    this.#outgoing = outgoing
    outgoing.once('close', () => {
      if (!outgoing.writableFinished) source.cancel()
    })
    outgoing.on('error', () => {})
  }

  write(bytes: Uint8Array): boolean {
    const outgoing = this.#outgoing
    const { socket } = outgoing
    // Without a socket, an earlier answer on the connection is still under way.
    const direct = this.#headIsOut && socket?.writable === true ? socket : undefined
    this.#headIsOut = true
    // To Node's `write`, a chunk is four pieces, gathered until the end of the turn: that costs more than this copy.
    const takesMore =
      direct === undefined
        ? outgoing.write(Buffer.from(bytes))
        : direct.write(outgoing.chunkedEncoding ? chunkOf(bytes) : Buffer.from(bytes))
    if (takesMore || this.#isFull) return takesMore
    this.#isFull = true
    ;(socket ?? outgoing).once('drain', this.#resume)
    return false
  }

  readonly #resume = (): void => {
    this.#isFull = false
    this.#source.resume()
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

const CR = 13
const LF = 10

const hexDigits = Buffer.from('0123456789abcdef')

/** A chunk with its size before it (RFC 9112, section 7.1). */
function chunkOf(bytes: Uint8Array): Buffer {
  const size = bytes.byteLength
  let digits = 1
  for (let rest = size >>> 4; rest > 0; rest >>>= 4) digits++
  const at = digits + 2
  const chunk = Buffer.allocUnsafe(at + size + 2)
  for (let index = digits - 1, rest = size; index >= 0; index--, rest >>>= 4)
    chunk[index] = hexDigits[rest & 15]!
  chunk[at - 2] = CR
  chunk[at - 1] = LF
  chunk.set(bytes, at)
  chunk[at + size] = CR
  chunk[at + size + 1] = LF
  return chunk
}
