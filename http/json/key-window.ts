import { findQuotes } from './find-quotes.ts'

const colon = 0x3a

/** A run of bytes of the body, of 64 KiB at most, in which keys are looked for. */
export class KeyWindow {
  readonly bytes: Buffer
  /** Where in the body it begins. */
  readonly at: number
  /** Where the values of the known keys begin; undefined until somebody asks, and where there are too many quotes. */
  #values: ReadonlyMap<Buffer, number> | undefined
  #looked = false
  readonly #keys: readonly Buffer[]
  readonly #openings: readonly number[] | undefined

  /**
   * @param keys with their quotes
   * @param openings where the strings of the whole body begin, where that is known
   */
  constructor(bytes: Buffer, at: number, keys: readonly Buffer[], openings?: readonly number[]) {
    this.bytes = bytes
    this.at = at
    this.#keys = keys
    this.#openings = openings
  }

  /**
   * Where in the window the value behind that key begins; undefined where there is no such key.
   *
   * All keys are found among the quotes that are not escaped: to look for one after the other took 150 us of a prompt of
   * 220 KB on Node, since the quotes of its text are looked at each time.
   */
  valueOf(key: Buffer): number | undefined {
    if (!this.#looked) {
      this.#looked = true
      const quotes = this.#quotes()
      this.#values = quotes === undefined ? undefined : valuesAt(this.bytes, quotes, this.#keys)
    }
    return this.#values === undefined ? valueAt(this.bytes, key) : this.#values.get(key)
  }

  #quotes(): Iterable<number> | undefined {
    const { bytes, at } = this
    if (this.#openings === undefined) return findQuotes(bytes)
    const here: number[] = []
    for (const opening of this.#openings)
      if (opening >= at && opening < at + bytes.length) here.push(opening - at)
    return here
  }
}

function valuesAt(
  bytes: Buffer,
  quotes: Iterable<number>,
  keys: readonly Buffer[],
): ReadonlyMap<Buffer, number> {
  const values = new Map<Buffer, number>()
  for (const at of quotes) {
    const key = keys.find((name) => bytes[at + 1] === name[1] && isAt(bytes, at, name))
    if (key === undefined || values.has(key)) continue
    const next = skipSpace(bytes, at + key.byteLength)
    if (bytes[next] === colon) values.set(key, skipSpace(bytes, next + 1))
  }
  return values
}

function isAt(bytes: Buffer, at: number, name: Buffer): boolean {
  return (
    at + name.byteLength <= bytes.byteLength &&
    bytes.compare(name, 0, name.byteLength, at, at + name.byteLength) === 0
  )
}

/** Places at which a name is looked at: a client may have written it five million times, not as a key. */
const mostPlaces = 100

/** Where the value behind a key begins, the key with its quotes; undefined where there is no such key. */
export function valueAt(bytes: Buffer, key: Buffer): number | undefined {
  let places = 0
  for (let at = bytes.indexOf(key); at !== -1; at = bytes.indexOf(key, at + key.byteLength)) {
    if (++places > mostPlaces) return undefined
    const next = skipSpace(bytes, at + key.byteLength)
    if (bytes[next] === colon) return skipSpace(bytes, next + 1)
  }
  return undefined
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++
  return at
}
