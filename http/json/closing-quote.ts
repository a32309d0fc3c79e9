const quote = 0x22
const backslash = 0x5c

/** Where the string ends whose first quote is at `opening`, in the bytes of JSON; the end of the bytes where it does not. */
export function closingQuote(bytes: Buffer, opening: number): number {
  for (let at = bytes.indexOf(quote, opening + 1); at !== -1; at = bytes.indexOf(quote, at + 1)) {
    let escapes = 0
    while (bytes[at - 1 - escapes] === backslash) escapes++
    if (escapes % 2 === 0) return at
  }
  return bytes.byteLength
}
