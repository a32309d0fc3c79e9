import { setImmediate } from 'node:timers/promises'
import type { JsonObject, JsonValue } from './json.ts'

/** What one pass over a JSON text finds, without building its values. */
export interface Skim {
  /** Colons outside of strings: keys of objects. */
  readonly keys: number
  /** Commas outside of strings. */
  readonly commas: number
  /** Opening brackets outside of strings. */
  readonly containers: number
  /** Levels. */
  readonly depth: number
  /** Wanted fields of the outermost object, as far as they are no objects, arrays or long strings. */
  readonly fields: JsonObject
}

/** Bytes in one turn of the event loop: 7 ms where all of it is keys, less else. */
const turnBytes = 512 * 1024
/** Bytes of a key or of a value that is kept. */
const longestKept = 4096

const space = 0x20
const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a

/**
 * Looks through a JSON text in slices, so that others get their turn however long it is. It does not check the text: of
 * one that is no JSON, whatever looks like a field is returned.
 *
 * @param pieces the text in UTF-8
 * @param wanted names of the fields to return
 */
export async function skimJson(pieces: readonly Uint8Array[], wanted: ReadonlySet<string>): Promise<Skim> {
  const skimmer = new Skimmer(wanted)
  let left = turnBytes
  for (const piece of pieces) {
    for (let at = 0; at < piece.byteLength; ) {
      const slice = piece.subarray(at, at + left)
      skimmer.add(slice)
      at += slice.byteLength
      left -= slice.byteLength
      if (left > 0) continue
      await setImmediate()
      left = turnBytes
    }
  }
  return skimmer
}

class Skimmer implements Skim {
  keys = 0
  commas = 0
  containers = 0
  depth = 0
  readonly #fields: Record<string, JsonValue> = {}
  readonly #wanted: ReadonlySet<string>
  #level = 0
  #inString = false
  #escaped = false
  /** With what a wanted key may begin: its first letter, or an escape. */
  readonly #beginnings: ReadonlySet<number | undefined>
  /** The field of the outermost object that the pass is in. */
  #key = ''
  /** What comes now, a key or a value of the outermost object. */
  readonly #kept = Buffer.alloc(longestKept)
  /** Bytes of it; -1 where it is not wanted. */
  #keptBytes = -1

  constructor(wanted: ReadonlySet<string>) {
    this.#wanted = wanted
    this.#beginnings = new Set([backslash, ...[...wanted].map((name) => name.charCodeAt(0))])
  }

  get fields(): JsonObject {
    return this.#fields
  }

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]!
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false
        else if (byte === backslash) this.#escaped = true
        else if (byte === quote) this.#inString = false
        if (this.#keptBytes >= 0) this.#keep(byte)
      } else if (byte === quote) {
        this.#inString = true
        if (this.#keptBytes >= 0) this.#keep(byte)
      } else if (byte === comma) {
        this.commas++
        if (this.#level === 1) this.#endField()
      } else if (byte === colon) {
        this.keys++
        if (this.#level === 1) this.#endKey()
      } else if (byte === 0x5b || byte === 0x7b) {
        this.#open()
      } else if (byte === 0x5d || byte === 0x7d) {
        if (this.#level === 1) this.#endField()
        this.#level--
      } else if (this.#keptBytes >= 0 && byte > space) {
        // Any number of blanks may stand around a key.
        this.#keep(byte)
      }
    }
  }

  #open(): void {
    this.containers++
    this.#level++
    if (this.#level > this.depth) this.depth = this.#level
    // A key comes next in the outermost object; what is deeper is no value that could be wanted.
    this.#keptBytes = this.#level === 1 ? 0 : -1
  }

  #keep(byte: number): void {
    if (this.#keptBytes === longestKept) this.#keptBytes = -1
    else this.#kept[this.#keptBytes++] = byte
  }

  #endKey(): void {
    this.#key = this.#wantedKey()
    this.#keptBytes = this.#key === '' ? -1 : 0
  }

  #wantedKey(): string {
    // Nearly every key is not wanted, as its first letter says: to decode a million of them takes half a second.
    const first = this.#kept.indexOf(quote) + 1
    if (this.#keptBytes < 1 || !this.#beginnings.has(this.#kept[first])) return ''
    const key = this.#value()
    return typeof key === 'string' && this.#wanted.has(key) ? key : ''
  }

  #endField(): void {
    const value = this.#key === '' ? undefined : this.#value()
    if (value !== undefined) this.#fields[this.#key] = value
    this.#key = ''
    this.#keptBytes = 0
  }

  #value(): JsonValue | undefined {
    try {
      return JSON.parse(this.#kept.toString('utf8', 0, Math.max(0, this.#keptBytes))) as JsonValue
    } catch {
      return undefined
    }
  }
}
