import { RequestBody } from '../request-body.ts'

const quote = 0x22
const backslash = 0x5c

/** Where a value stands, in bytes. */
interface Span {
  readonly from: number
  readonly to: number
}

/**
 * The body with another text as the value of a key at its top level; nothing else changes, not a space. Undefined where
 * that key is not there, or its value is no text. Of a key that is given twice, the last one counts, as for every parser.
 *
 * @param key without characters that JSON escapes
 */
export function withText(body: RequestBody, key: string, text: string): RequestBody | undefined {
  const bytes = body.bytes()
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const span = textOf(buffer, Buffer.from(`"${key}"`))
  if (span === undefined) return undefined
  const before = bytes.subarray(0, span.from)
  return new RequestBody([before, Buffer.from(JSON.stringify(text)), bytes.subarray(span.to)])
}

function textOf(bytes: Buffer, key: Buffer): Span | undefined {
  let found: Span | undefined
  let depth = 0
  for (let at = 0; at < bytes.byteLength; at++) {
    const byte = bytes[at]
    if (byte === 0x7b || byte === 0x5b) depth += 1
    else if (byte === 0x7d || byte === 0x5d) depth -= 1
    if (byte !== quote) continue
    const end = endOfText(bytes, at)
    const isKey = depth === 1 && bytes.subarray(at, end).equals(key)
    const value = isKey ? valueBehind(bytes, end) : undefined
    if (value === undefined) {
      at = end - 1
      continue
    }
    const to = bytes[value] === quote ? endOfText(bytes, value) : value
    found = to === value ? undefined : { from: value, to }
    at = Math.max(to, end) - 1
  }
  return found
}

/** Undefined where no colon follows: a value that reads like the key. */
function valueBehind(bytes: Buffer, from: number): number | undefined {
  const colon = skipSpace(bytes, from)
  return bytes[colon] === 0x3a ? skipSpace(bytes, colon + 1) : undefined
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++
  return at
}

/** Behind the closing quote; the end of the bytes where there is none. */
function endOfText(bytes: Buffer, opening: number): number {
  for (let at = bytes.indexOf(quote, opening + 1); at !== -1; at = bytes.indexOf(quote, at + 1)) {
    let escapes = 0
    while (bytes[at - 1 - escapes] === backslash) escapes++
    if (escapes % 2 === 0) return at + 1
  }
  return bytes.byteLength
}
