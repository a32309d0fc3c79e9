import { isUtf8 } from 'node:buffer'
import type { RequestBody } from '../request-body.ts'
import { blockBytes, findQuotes } from './find-quotes.ts'

/** Bytes. A shorter body is parsed as quickly as it is. */
const shortBody = 32 * 1024
/** Strings whose places are kept. A prompt has a hundred; 8 bytes each, for as long as the body is held. */
const mostOpenings = 1024
/** Bytes. Longer strings are text for the model, not settings. */
const longString = 1024

const backslash = 0x5c
const substitute = Buffer.from('"_')

/**
 * The text of a large JSON body with one character in place of each long string; undefined where that is not worth it,
 * or where it cannot be told. What is sent to a worker are the client's own bytes; checking their structure needs no
 * copy of a prompt of 200 KB, whose parsing would cost more than all else that is done with it.
 *
 * Within a long string only the encoding is checked: a wrong escape or a control character is left to the worker.
 */
export function outlineJson(body: RequestBody): string | undefined {
  if (body.byteLength < shortBody || !areUtf8(body.pieces)) return undefined
  const outline = new Outline()
  for (const piece of body.pieces) {
    for (let at = 0; at < piece.byteLength; at += blockBytes) {
      if (!outline.add(piece.subarray(at, at + blockBytes))) return undefined
    }
  }
  body.openingQuotes = outline.openings()
  return outline.text()
}

class Outline {
  /** What stays. */
  readonly #kept: Uint8Array[] = []
  /** Of a string that began in an earlier block: it stays if it proves to be short. */
  #undecided: Uint8Array[] = []
  /** Where the string began, in bytes of the body, that the end of the last block is in; -1 between strings. */
  #open = -1
  #shortened = false
  readonly #openings: number[] = []
  /** Bytes of the blocks before. */
  #before = 0
  /** Backslashes at the end of the blocks before. */
  #backslashes = 0

  /** The next block of the body; false when it has too many quotes. */
  add(block: Uint8Array): boolean {
    const quotes = findQuotes(block)
    if (quotes === undefined) return false
    let open = this.#open - this.#before
    let inString = this.#open !== -1
    /** What comes before it in this block has been kept or left out. */
    let settled = 0
    for (const at of quotes) {
      if (!inString) {
        open = at
        inString = true
        if (this.#openings.length <= mostOpenings) this.#openings.push(this.#before + at)
      } else if (this.#backslashesBefore(block, at) % 2 === 0) {
        if (at - open > longString) {
          this.#kept.push(block.subarray(settled, Math.max(settled, open)), substitute)
          this.#shortened = true
          settled = at
        } else {
          this.#kept.push(...this.#undecided)
        }
        this.#undecided = []
        inString = false
      }
    }
    const end = inString ? Math.max(settled, open) : block.length
    this.#kept.push(block.subarray(settled, end))
    if (inString) this.#undecided.push(block.subarray(end))
    this.#open = inString ? this.#before + open : -1
    this.#backslashes = this.#backslashesBefore(block, block.length)
    this.#before += block.length
    return true
  }

  openings(): readonly number[] | undefined {
    return this.#openings.length <= mostOpenings && this.#open === -1 ? this.#openings : undefined
  }

  text(): string | undefined {
    if (!this.#shortened || this.#open !== -1) return undefined
    return Buffer.concat(this.#kept).toString()
  }

  /** How many there are in a row up to there, those of earlier blocks counted in. */
  #backslashesBefore(block: Uint8Array, at: number): number {
    let first = at
    while (block[first - 1] === backslash) first--
    return first > 0 ? at - first : at + this.#backslashes
  }
}

/** Whether they are UTF-8 together: a character may begin in one piece and end in the next. */
function areUtf8(pieces: readonly Uint8Array[]): boolean {
  let begun: Uint8Array | undefined
  for (const piece of pieces) {
    const bytes = begun === undefined ? piece : Buffer.concat([begun, piece])
    const end = bytes.length - unfinished(bytes)
    if (!isUtf8(bytes.subarray(0, end))) return false
    begun = end === bytes.length ? undefined : bytes.subarray(end)
  }
  return begun === undefined
}

/** Bytes at the end that begin a character and do not complete it. */
function unfinished(bytes: Uint8Array): number {
  for (let count = 1; count <= 3; count++) {
    const byte = bytes[bytes.length - count]
    if (byte === undefined || byte < 0x80) return 0
    if (byte >= 0xc0) return count < lengthBegunBy(byte) ? count : 0
  }
  return 0
}

function lengthBegunBy(first: number): number {
  return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
}
