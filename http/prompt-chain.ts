import xxhash from 'xxhash-wasm'
import type { RequestBody } from './request-body.ts'

const { h64Raw, h64 } = await xxhash()

/** Bytes and number of the blocks: small ones for the beginning, which is what prompts share, and larger ones behind. */
const sizes = [
  { bytes: 256, count: 64 },
  { bytes: 2048, count: 64 },
  { bytes: 16 * 1024, count: 64 },
] as const

/** Bytes of a body, from its beginning and its end, in which keys are looked for. */
const keyWindow = 64 * 1024
/** Bytes from its beginning in which the prompt's own key is looked for: tools may come first. 10 ms at most. */
const mainWindow = 4 * 2 ** 20
/** What templates put before everything else, whatever its place in the body, in this order. */
const leading = ['"tools"', '"system"', '"instructions"'].map((key) => Buffer.from(key))
/** The prompt itself: the first one that is there. */
const main = ['"messages"', '"prompt"', '"input"'].map((key) => Buffer.from(key))

const quote = 0x22
const backslash = 0x5c
const colon = 0x3a

/** Bytes. A shorter request has no beginning that would be worth finding again. */
const leastBody = 512

/** Models whose seeds are kept. */
const mostSeeds = 1000
const seeds = new Map<string, bigint>()

/** The beginning of a prompt as numbers: equal ones mean that everything up to there is equal, for the same model. */
export class PromptChain {
  /** Of the whole body. */
  readonly bytes: number
  readonly blocks: readonly number[]

  constructor(bytes: number, blocks: readonly number[]) {
    this.bytes = bytes
    this.blocks = blocks
  }

  /** Bytes of the first `count` blocks. */
  bytesOf(count: number): number {
    let left = count
    let bytes = 0
    for (const size of sizes) {
      const here = Math.min(left, size.count)
      bytes += here * size.bytes
      left -= here
    }
    return bytes
  }
}

/**
 * The chain of a prompt, from the client's own bytes: no tokenizer, and no parsing of the prompt. Tools and system prompt
 * come first, as in the templates of the models, then messages, prompt or input, in blocks of 256 bytes and more, each
 * hashed (xxHash64) with the hash of all before it. What is less than a block at the end is left out.
 *
 * A key is found as the bytes of its name in quotes: within a string its quotes would be escaped. A name that stands for
 * something else deeper in the body moves the beginning, for all requests that are alike in the same way.
 */
export function promptChain(body: RequestBody, model: string | undefined): PromptChain {
  if (body.byteLength < leastBody) return new PromptChain(body.byteLength, [])
  const { buffer, byteOffset, byteLength } = body.bytes()
  const bytes = Buffer.from(buffer, byteOffset, byteLength)
  const chain = new Chain(bytes, seedOf(model ?? ''))
  for (const part of partsOf(bytes)) if (!chain.add(part)) break
  return new PromptChain(body.byteLength, chain.blocks)
}

function seedOf(model: string): bigint {
  let seed = seeds.get(model)
  if (seed === undefined) {
    if (seeds.size >= mostSeeds) seeds.clear()
    seed = h64(model)
    seeds.set(model, seed)
  }
  return seed
}

/** A part of the body, in bytes from its beginning. */
interface Part {
  readonly from: number
  readonly to: number
}

function partsOf(body: Buffer): Part[] {
  const { byteLength } = body
  const before = leading.map((key) => partBehind(body, key)).filter((part) => part !== undefined)
  const key = main.map((name) => mainAt(body, name)).find((at) => at !== undefined)
  // Nothing that is known: the whole body is the prompt.
  if (key === undefined) return before.length > 0 ? before : [{ from: 0, to: byteLength }]
  const to = Math.min(byteLength, ...before.map(({ from }) => from).filter((from) => from > key))
  return [...before, { from: key, to }]
}

function mainAt(body: Buffer, key: Buffer): number | undefined {
  const near = valueAt(body.subarray(0, mainWindow), key)
  const tail = Math.max(mainWindow, body.byteLength - keyWindow)
  if (near !== undefined || tail >= body.byteLength) return near
  const behind = valueAt(body.subarray(tail), key)
  return behind === undefined ? undefined : tail + behind
}

/** Places at which a name is looked at: a client may have written it five million times, not as a key. */
const mostPlaces = 100

/** Where the value behind a key begins; undefined where there is no such key. */
function valueAt(bytes: Buffer, key: Buffer): number | undefined {
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

/** A text, an object or an array behind a key near the beginning or the end of the body, as far as it is near. */
function partBehind(body: Buffer, key: Buffer): Part | undefined {
  const tail = Math.max(keyWindow, body.byteLength - keyWindow)
  for (const start of [0, tail]) {
    const bytes = body.subarray(start, start + keyWindow)
    const from = valueAt(bytes, key)
    if (from === undefined) continue
    const first = bytes[from]
    if (first !== quote && first !== 0x7b && first !== 0x5b) return undefined
    return { from: start + from, to: start + endOf(bytes, from) }
  }
  return undefined
}

function endOf(bytes: Buffer, from: number): number {
  let depth = 0
  for (let at = from; at < bytes.byteLength; at++) {
    const byte = bytes[at]
    if (byte === quote) {
      at = closingQuote(bytes, at)
      if (depth === 0) return at + 1
    } else if (byte === 0x7b || byte === 0x5b) {
      depth += 1
    } else if (byte === 0x7d || byte === 0x5d) {
      depth -= 1
      if (depth === 0) return at + 1
    }
  }
  return bytes.byteLength
}

function closingQuote(bytes: Buffer, opening: number): number {
  for (let at = bytes.indexOf(quote, opening + 1); at !== -1; at = bytes.indexOf(quote, at + 1)) {
    let escapes = 0
    while (bytes[at - 1 - escapes] === backslash) escapes++
    if (escapes % 2 === 0) return at
  }
  return bytes.byteLength
}

class Chain {
  readonly blocks: number[] = []
  readonly #body: Buffer
  #hash: bigint
  /** Bytes of the block that has begun in the part before. */
  #begun: Uint8Array[] = []
  #begunBytes = 0

  constructor(body: Buffer, seed: bigint) {
    this.#body = body
    this.#hash = seed
  }

  /** Goes on with this part of the body; false when the chain is as long as it may be. */
  add({ from, to }: Part): boolean {
    for (let at = from; at < to; ) {
      const size = this.#size()
      if (size === undefined) return false
      const taken = Math.min(to - at, size - this.#begunBytes)
      const bytes = this.#body.subarray(at, at + taken)
      if (taken === size) this.#close(bytes)
      else this.#collect(bytes, size)
      at += taken
    }
    return true
  }

  #size(): number | undefined {
    let left = this.blocks.length
    for (const { bytes, count } of sizes) {
      if (left < count) return bytes
      left -= count
    }
    return undefined
  }

  #collect(bytes: Uint8Array, size: number): void {
    this.#begun.push(bytes)
    this.#begunBytes += bytes.byteLength
    if (this.#begunBytes < size) return
    this.#close(Buffer.concat(this.#begun, size))
    this.#begun = []
    this.#begunBytes = 0
  }

  #close(block: Uint8Array): void {
    this.#hash = h64Raw(block, this.#hash)
    // A map takes numbers of 53 bits.
    this.blocks.push(Number(this.#hash >> 11n))
  }
}
