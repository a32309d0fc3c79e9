import { RouterError } from './errors.ts'
import type { HeldPart } from './held-bytes.ts'

/**
 * The body of a request, in the pieces in which it came. Whoever only checks it and sends it on needs no copy in one
 * piece: to join 220 KB costs more than both.
 */
export class RequestBody {
  readonly byteLength: number
  /**
   * Where the strings of its JSON begin, in bytes from its beginning; undefined until somebody has looked, and where
   * there are too many.
   */
  openingQuotes: readonly number[] | undefined
  #pieces: readonly Uint8Array[]

  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces
    this.byteLength = lengthOf(pieces)
  }

  /** In order. */
  get pieces(): readonly Uint8Array[] {
    return this.#pieces
  }

  /** All of it in one piece, joined at the first call. */
  bytes(): Uint8Array {
    if (this.#pieces.length !== 1) this.#pieces = [Buffer.concat(this.#pieces, this.byteLength)]
    return this.#pieces[0]!
  }
}

/** Bytes. Smaller pieces are merged: each piece costs about 200 bytes. */
const smallPiece = 4096

/** Bytes of small pieces that are put together: a client may send one byte at a time. */
const mergedPieces = 64 * 1024

/** Small pieces that are kept before they are merged. */
const mostCrumbs = 256

/**
 * Bytes. A longer body of a known length gets memory in one block, which goes back to the system when it is over: the
 * allocator keeps what Node's pieces of 64 KiB took, and 20 bodies of 60 MB left the process 230 MB larger.
 */
const blockBytes = 4 * 2 ** 20

export interface CollectorOptions {
  /** Where the bytes are counted as they come. */
  readonly held?: HeldPart | undefined
  /** Bytes that the client has announced, where they are to be collected in one block. */
  readonly announced?: number | undefined
}

/** Takes in a body as it comes. */
export class BodyCollector {
  readonly #limit: number
  readonly #held: HeldPart | undefined
  readonly #pieces: Uint8Array[] = []
  readonly #block: Uint8Array | undefined
  /** So many of the last pieces are small, and have so many bytes. */
  #crumbs = 0
  #crumbBytes = 0
  #byteLength = 0

  /**
   * @param limit bytes; exactly so many are accepted
   */
  constructor(limit: number, { held, announced = 0 }: CollectorOptions = {}) {
    this.#limit = limit
    this.#held = held
    if (announced >= blockBytes && announced <= limit) this.#block = Buffer.allocUnsafeSlow(announced)
  }

  /** @throws RouterError `payload_too_large`, `buffers_full` */
  add(piece: Uint8Array): void {
    this.#byteLength += piece.byteLength
    if (this.#byteLength > this.#limit) throw payloadTooLarge(this.#limit)
    this.#held?.add(piece.byteLength)
    if (this.#block !== undefined && this.#byteLength <= this.#block.byteLength) {
      this.#block.set(piece, this.#byteLength - piece.byteLength)
      return
    }
    if (piece.byteLength >= smallPiece) {
      this.#endCrumbs()
      this.#pieces.push(piece)
    } else if (piece.byteLength > 0) {
      this.#pieces.push(piece)
      this.#crumbs += 1
      this.#crumbBytes += piece.byteLength
      if (this.#crumbs >= mostCrumbs) this.#merge()
      if (this.#crumbBytes >= mergedPieces) this.#endCrumbs()
    }
  }

  body(): RequestBody {
    if (this.#block !== undefined) return new RequestBody([this.#block.subarray(0, this.#byteLength)])
    this.#merge()
    return new RequestBody(this.#pieces)
  }

  #merge(): void {
    if (this.#crumbs < 2) return
    this.#pieces.push(Buffer.concat(this.#pieces.splice(-this.#crumbs), this.#crumbBytes))
    this.#crumbs = 1
  }

  #endCrumbs(): void {
    this.#merge()
    this.#crumbs = 0
    this.#crumbBytes = 0
  }
}

/**
 * The error for a body beyond the limit, the same from the declared length and from the bytes counted.
 *
 * @param limit bytes.
 * @param received bytes, when the client declared them.
 */
export function payloadTooLarge(limit: number, received?: number): RouterError {
  const size = received === undefined ? '' : `, this one has ${received} bytes`
  return new RouterError('payload_too_large', `The request body may have at most ${limit} bytes${size}.`)
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  let length = 0
  for (const piece of pieces) length += piece.byteLength
  return length
}
