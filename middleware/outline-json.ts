import { isUtf8 } from 'node:buffer'

/** Bytes. A shorter body is parsed as quickly as it is. */
const shortBody = 32 * 1024
/** Bytes. Longer strings are text for the model, not settings. */
const longString = 4096
/** Bytes per quote: with less, searching for quotes costs more than parsing. */
const sparse = 24

const quote = 0x22
const backslash = 0x5c

/**
 * The text of a large JSON body with one character in place of each long string; undefined where that is not worth it,
 * or where it cannot be told. What is sent to a worker are the client's own bytes; checking their structure needs no
 * copy of a prompt of 200 KB, whose parsing would cost more than all else that is done with it.
 *
 * Within a long string only the encoding is checked: a wrong escape in it is left to the worker.
 */
export function outlineJson(body: Uint8Array): string | undefined {
  if (body.length < shortBody || !isUtf8(body)) return undefined
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  let text = ''
  let kept = 0
  /** Where the string began that the search is in; -1 between strings. */
  let open = -1
  let quotes = 0
  for (let at = bytes.indexOf(quote); at !== -1; at = bytes.indexOf(quote, at + 1)) {
    if (++quotes * sparse > at + shortBody) return undefined
    if (open === -1) {
      open = at
    } else if (!isEscaped(bytes, at)) {
      if (at - open > longString) {
        text += `${bytes.toString('utf8', kept, open)}"_`
        kept = at
      }
      open = -1
    }
  }
  return kept === 0 || open !== -1 ? undefined : text + bytes.toString('utf8', kept)
}

function isEscaped(bytes: Buffer, at: number): boolean {
  let backslashes = 0
  while (bytes[at - 1 - backslashes] === backslash) backslashes++
  return backslashes % 2 === 1
}
