// Imported, because the global one is a getter on Node, called for each token.
import { Buffer } from 'node:buffer'

const LF = 10
const CR = 13

/**
 * Cuts a byte stream at the ends of its server-sent events, so that what is sent on is always whole events.
 *
 * An event ends with an empty line; lines end with LF, CR LF or CR (WHATWG HTML, section 9.2.5). Bytes are never
 * changed, only held back until their event is complete.
 */
export class EventScanner {
  /** The incomplete event at the end: a copy of each piece, so that a long event is not copied with each of them. */
  #pieces: Uint8Array[] = []
  #heldBytes = 0
  /** Position within the line-end grammar: see `#scan`. */
  #atLineStart = false
  #afterCr = false
  /** The beginning of the incomplete event has been given out. */
  #passing = false

  /** Bytes of the incomplete event held back now. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** What has been given out ends in the middle of an event. */
  get isWithinEvent(): boolean {
    return this.#passing
  }

  /** Gives out what is held of the incomplete event; the rest of it is for `passOn`. */
  pass(): Uint8Array {
    const held = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces)
    this.#pieces = []
    this.#heldBytes = 0
    this.#passing = true
    return held
  }

  /** Of the next bytes, so many belong to the event whose beginning has been given out: all, or those up to its end. */
  passOn(chunk: Uint8Array): number {
    const end = this.#scan(chunk, true)
    if (end === 0) return chunk.byteLength
    this.#passing = false
    return end
  }

  /** Takes the next bytes; returns all bytes up to the last event end, or undefined when no event has ended. */
  push(chunk: Uint8Array): Uint8Array | undefined {
    const end = this.#endsWithEvent(chunk) ? chunk.byteLength : this.#scan(chunk)
    if (end === 0) {
      this.#hold(chunk)
      return undefined
    }
    const whole = end === chunk.byteLength ? chunk : chunk.subarray(0, end)
    const events = this.#pieces.length === 0 ? whole : Buffer.concat([...this.#pieces, whole])
    if (this.#heldBytes > 0) {
      this.#pieces = []
      this.#heldBytes = 0
    }
    if (end < chunk.byteLength) this.#hold(chunk.subarray(end))
    return events
  }

  /** What is held back, at the end of the stream: an event without the empty line behind it. */
  takeRest(): Uint8Array | undefined {
    if (this.#heldBytes === 0) return undefined
    const rest = Buffer.concat(this.#pieces)
    this.#pieces = []
    this.#heldBytes = 0
    return rest
  }

  #hold(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return
    // It is lent for the time of the call only.
    this.#pieces.push(Buffer.from(chunk))
    this.#heldBytes += chunk.byteLength
  }

  /** The way vLLM writes: one or more whole events in a chunk, LF framed. */
  #endsWithEvent(chunk: Uint8Array): boolean {
    const length = chunk.byteLength
    if (length < 2 || chunk[length - 1] !== LF || chunk[length - 2] !== LF) return false
    this.#atLineStart = true
    this.#afterCr = false
    return true
  }

  /**
   * Walks the bytes; returns the offset behind the last event end within this chunk, 0 when there is none.
   * @param first stops behind the first one
   */
  #scan(chunk: Uint8Array, first = false): number {
    // A piece of a long line, which the runtime sees much faster.
    if (!chunk.includes(LF) && !chunk.includes(CR)) {
      if (chunk.byteLength > 0) this.#atLineStart = this.#afterCr = false
      return 0
    }
    let end = 0
    let lineStart = this.#atLineStart
    let afterCr = this.#afterCr
    for (let index = 0; index < chunk.byteLength && !(first && end > 0); index++) {
      const byte = chunk[index]
      if (byte === LF && afterCr) {
        // The second half of a CR LF: it ends no further line, and belongs to the event whose end its CR was. Where the
        // CR was the last byte of the chunk before, it was such an end if nothing is held.
        afterCr = false
        if (end === index && (index > 0 || (this.#heldBytes === 0 && !this.#passing))) end = index + 1
      } else if (byte === LF || byte === CR) {
        if (lineStart) end = index + 1
        lineStart = true
        afterCr = byte === CR
      } else {
        lineStart = false
        afterCr = false
      }
    }
    this.#atLineStart = lineStart
    this.#afterCr = afterCr
    return end
  }
}

/** Calls `visit` with each event of bytes that hold whole events; stops when it returns true. */
export function eachEvent(events: Uint8Array, visit: (event: Buffer) => unknown): void {
  const bytes = bufferOver(events)
  // One look for all of them. A single byte is searched for: on Node that costs a tenth of the search for a string.
  const endOf = bytes.indexOf(CR) === -1 ? endOfLfEvent : endOfAnyEvent
  let start = 0
  while (start < bytes.length) {
    const end = endOf(bytes, start)
    const alone = start === 0 && end === bytes.length
    if (visit(alone ? bytes : bytes.subarray(start, end)) === true) return
    start = end
  }
}

/** The same bytes; a view of them only where they are no Buffer yet. */
export function bufferOver(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The way vLLM writes. */
function endOfLfEvent(bytes: Buffer, start: number): number {
  for (let lf = bytes.indexOf(LF, start); lf !== -1; lf = bytes.indexOf(LF, lf + 1)) {
    if (bytes[lf + 1] === LF) return lf + 2
  }
  return bytes.length
}

function endOfAnyEvent(bytes: Buffer, start: number): number {
  let lineStart = true
  for (let index = start; index < bytes.length; index++) {
    const byte = bytes[index]
    if (byte !== LF && byte !== CR) {
      lineStart = false
      continue
    }
    if (byte === CR && bytes[index + 1] === LF) index += 1
    if (lineStart) return index + 1
    lineStart = true
  }
  return bytes.length
}
