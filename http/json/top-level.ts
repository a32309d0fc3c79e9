import { RequestBody } from '../request-body.ts'

const quote = 0x22
const backslash = 0x5c
const colon = 0x3a
const openingBrace = 0x7b
const closingBrace = 0x7d
/** Signs, the point and the E of numbers. */
const wordMarks: readonly (number | undefined)[] = Array.from('+-.E', (mark) => mark.charCodeAt(0))
/** How a letter of a key may be written otherwise. */
const escaped = Buffer.from('\\u00')

/** Where a value stands, in bytes. */
interface Span {
  readonly from: number
  readonly to: number
}

/** Steps through a body in one turn of the event loop, at about 40 ns each. */
const mostSteps = 1_000_000
/** Places that are looked at before a body is gone through level by level. */
const mostPlaces = 100

/**
 * The body with another text as the value of a key at its top level; nothing else changes, not a space. Of a key that is
 * given twice, the last one counts, as for every parser. Undefined where the key with that value is not there, or where
 * to find the right one of several would take more than a million steps.
 *
 * @param key without characters that JSON escapes
 * @param was its value now
 */
export function withText(body: RequestBody, key: string, was: string, text: string): RequestBody | undefined {
  const bytes = body.bytes()
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // A key may be written with escapes, and be another one than it looks like.
  const isPlain = !buffer.includes(escaped)
  const span = (isPlain ? onlyOne(buffer, key, was) : undefined) ?? atTopLevel(buffer, key)
  return span === undefined || buffer[span.from] !== quote
    ? undefined
    : replaced(bytes, span, JSON.stringify(text))
}

/**
 * The body with a number as the value of a key at its top level, in place of the text, number or word that is there; else
 * undefined, as for `withText`.
 *
 * @param key without characters that JSON escapes
 */
export function withNumber(body: RequestBody, key: string, number: number): RequestBody | undefined {
  const bytes = body.bytes()
  const span = atTopLevel(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), key)
  return span === undefined ? undefined : replaced(bytes, span, String(number))
}

/**
 * The body of an object with one more key, at its end: should the key be there already, the new one counts. Nothing is
 * copied. Undefined where the body does not end as an object does.
 *
 * @param key without characters that JSON escapes
 */
export function withMore({ pieces }: RequestBody, key: string, number: number): RequestBody | undefined {
  const end = lastByte(pieces, closingBrace)
  if (end === undefined) return undefined
  const isEmpty = lastByte(end.before, openingBrace) !== undefined
  const field = Buffer.from(`${isEmpty ? '' : ','}${JSON.stringify(key)}:${number}`)
  return new RequestBody([...end.before, field, ...end.from])
}

/** The pieces before and from the last byte that is no space, if it is this one. */
function lastByte(pieces: readonly Uint8Array[], wanted: number) {
  for (let index = pieces.length - 1; index >= 0; index--) {
    const piece = pieces[index]!
    let at = piece.byteLength - 1
    while (isSpace(piece[at])) at--
    if (at < 0) continue
    if (piece[at] !== wanted) return undefined
    return {
      before: [...pieces.slice(0, index), piece.subarray(0, at)],
      from: [piece.subarray(at), ...pieces.slice(index + 1)],
    }
  }
  return undefined
}

function replaced(bytes: Uint8Array, { from, to }: Span, value: string): RequestBody {
  return new RequestBody([bytes.subarray(0, from), Buffer.from(value), bytes.subarray(to)])
}

/** Nearly every body has the key with this value once, whatever its depth: quotes within a text are escaped. */
function onlyOne(bytes: Buffer, key: string, was: string): Span | undefined {
  // Without its first quote: the search of Node looks for the first byte, and in some bodies every third is a quote.
  const name = Buffer.from(`${key}"`)
  let found: Span | undefined
  let places = 0
  for (let at = bytes.indexOf(name); at !== -1; at = bytes.indexOf(name, at + name.byteLength)) {
    if (++places > mostPlaces) return undefined
    if (bytes[at - 1] !== quote) continue
    const from = valueBehind(bytes, at + name.byteLength)
    if (from === undefined || bytes[from] !== quote) continue
    const length = lengthOf(bytes.subarray(from, from + 2 + bytesPerUnit * was.length), was)
    if (length === undefined) continue
    if (found !== undefined) return undefined
    found = { from, to: from + length }
  }
  return found
}

/** Of a UTF-16 unit in JSON, escaped. */
const bytesPerUnit = 6

/** Bytes of the text in JSON, with escapes or without, that these begin with; undefined where they begin otherwise. */
function lengthOf(bytes: Buffer, text: string): number | undefined {
  const length = endOfText(bytes, 0, new Steps()) ?? 0
  try {
    return JSON.parse(bytes.toString('utf8', 0, length)) === text ? length : undefined
  } catch {
    return undefined
  }
}

class Steps {
  #left = mostSteps

  get over(): boolean {
    this.#left -= 1
    return this.#left < 0
  }
}

/** The value of the key, unless that is an object or an array. */
function atTopLevel(bytes: Buffer, key: string): Span | undefined {
  const name = Buffer.from(`"${key}"`)
  const steps = new Steps()
  let found: Span | undefined
  let depth = 0
  for (let at = 0; at < bytes.byteLength; at++) {
    if (steps.over) return undefined
    const byte = bytes[at]
    if (byte === 0x7b || byte === 0x5b) depth += 1
    else if (byte === 0x7d || byte === 0x5d) depth -= 1
    if (byte !== quote) continue
    const end = endOfText(bytes, at, steps)
    if (end === undefined) return undefined
    const isKey = depth === 1 && isText(bytes.subarray(at, end), name, key)
    const value = isKey ? valueBehind(bytes, end) : undefined
    if (value === undefined) {
      at = end - 1
      continue
    }
    const to = endOfScalar(bytes, value, steps)
    if (to === undefined) return undefined
    found = to === value ? undefined : { from: value, to }
    at = Math.max(to, end) - 1
  }
  return found
}

/** The beginning itself where it is an object or an array, or nothing; undefined where it takes too many steps. */
function endOfScalar(bytes: Buffer, from: number, steps: Steps): number | undefined {
  if (bytes[from] === quote) return endOfText(bytes, from, steps)
  let at = from
  while (isOfWord(bytes[at])) {
    if (steps.over) return undefined
    at++
  }
  return at
}

/** Of a number, or of `true`, `false`, `null`. */
function isOfWord(byte: number | undefined): boolean {
  if (byte === undefined) return false
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x7a) || wordMarks.includes(byte)
}

function isText(bytes: Buffer, name: Buffer, key: string): boolean {
  if (bytes.equals(name)) return true
  const isShort = bytes.byteLength <= 2 + bytesPerUnit * key.length
  return isShort && bytes.includes(backslash) && lengthOf(bytes, key) === bytes.byteLength
}

/** Undefined where no colon follows: a value that reads like the key. */
function valueBehind(bytes: Buffer, from: number): number | undefined {
  const at = skipSpace(bytes, from)
  return bytes[at] === colon ? skipSpace(bytes, at + 1) : undefined
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from
  while (isSpace(bytes[at])) at++
  return at
}

/** RFC 8259, section 2. */
function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** Behind the closing quote; the end of the bytes where there is none; undefined where it takes too many steps. */
function endOfText(bytes: Buffer, opening: number, steps: Steps): number | undefined {
  for (let at = bytes.indexOf(quote, opening + 1); at !== -1; at = bytes.indexOf(quote, at + 1)) {
    if (steps.over) return undefined
    let escapes = 0
    while (bytes[at - 1 - escapes] === backslash) escapes++
    if (escapes % 2 === 0) return at + 1
  }
  return bytes.byteLength
}
