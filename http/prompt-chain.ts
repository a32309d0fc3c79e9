import xxhash from 'xxhash-wasm'
import { closingQuote } from './json/closing-quote.ts'
import { KeyWindow, valueAt } from './json/key-window.ts'
import type { RequestBody } from './request-body.ts'

const { h64Raw, h64 } = await xxhash()

/** Bytes of which a block's hash is made, at most: its first ones. */
const hashedBytes = 4096

/**
 * Bytes and number of the blocks: small ones for the beginning, which is what prompts share, and larger ones behind. Two
 * long texts that differ in the rest of a large block, and not by its end, have other bytes in the next one; where
 * exactly as many bytes were put in place of others, they are taken for alike. To read all of 220 KB once more costs
 * twice as much as all else here: by then it has left the processor's cache.
 */
const sizes = [
  { bytes: 256, count: 32 },
  { bytes: 1024, count: 8 },
  { bytes: hashedBytes, count: 12 },
  { bytes: 16 * 1024, count: 64 },
] as const

/** Bytes of each block, and of all blocks before it. */
const bytesAt = sizes.flatMap(({ bytes, count }) => new Array<number>(count).fill(bytes))
const bytesBefore = [0]
for (const bytes of bytesAt) bytesBefore.push(bytesBefore.at(-1)! + bytes)

/** Bytes of a body, from its beginning and its end, in which keys are looked for. */
const keyWindow = 64 * 1024
/** Bytes from its beginning in which the prompt's own key is looked for: tools may come first. 10 ms at most. */
const mainWindow = 4 * 2 ** 20
/** What templates put before everything else, whatever its place in the body, in this order. */
const leading = ['"tools"', '"system"', '"instructions"'].map((key) => Buffer.from(key))
/** The prompt itself: the first one that is there. */
const main = ['"messages"', '"prompt"', '"input"'].map((key) => Buffer.from(key))

const keys = [...leading, ...main]

const quote = 0x22

/** Bytes. A shorter request has no beginning that would be worth finding again. */
const leastBody = 512

/** Models whose seeds are kept. */
const mostSeeds = 1000
const seeds = new Map<string, bigint>()

/**
 * The beginning of a prompt as numbers: equal ones mean that everything up to there is equal, for the same model, as far
 * as it is hashed. They are 31 bits of each hash, which both runtimes keep without memory of its own: maps find such a
 * number three times as fast. Of a million blocks, one lookup in 2,000 takes an unknown block for a known one; what hangs
 * on it is one block more or less of what a worker is believed to hold.
 */
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
    return bytesBefore[count]!
  }
}

/**
 * The chain of a prompt, from the client's own bytes: no tokenizer, and no parsing of the prompt. Tools and system prompt
 * come first, as in the templates of the models, then messages, prompt or input, in blocks of 256 bytes and more, each
 * hashed (xxHash64, the first 4 KiB of it) with the hash of all before it. What is less than a block at the end is left out.
 *
 * A key is found as the bytes of its name in quotes: within a string its quotes would be escaped. A name that stands for
 * something else deeper in the body moves the beginning, for all requests that are alike in the same way.
 */
export function promptChain(body: RequestBody, model: string | undefined): PromptChain {
  if (body.byteLength < leastBody) return new PromptChain(body.byteLength, [])
  const parts = partsOf(body)
  const chain = new Chain(seedOf(model ?? ''))
  for (const { from, to } of parts) if (!chain.add(body.pieces, from, to)) break
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

function partsOf(body: RequestBody): Part[] {
  const { byteLength } = body
  const tailAt = Math.max(keyWindow, byteLength - keyWindow)
  const head = contiguous(body, 0, headCopy)
  const tail = contiguous(body, Math.min(tailAt, byteLength), tailCopy)
  const headKeys = new KeyWindow(head, 0, keys, body.openingQuotes)
  const windows = [headKeys, new KeyWindow(tail, tailAt, keys, body.openingQuotes)]
  const before = leading.map((key) => partBehind(windows, key)).filter((part) => part !== undefined)
  const key = mainIn(body, headKeys)
  // Nothing that is known: the whole body is the prompt.
  if (key === undefined) return before.length > 0 ? before : [{ from: 0, to: byteLength }]
  const to = Math.min(byteLength, ...before.map(({ from }) => from).filter((from) => from > key))
  return [...before, { from: key, to }]
}

const headCopy = Buffer.alloc(keyWindow)
const tailCopy = Buffer.alloc(keyWindow)

/** The bytes from there on, as many as the copy takes. A key may lie in two pieces of the body: then they are copied. */
function contiguous({ pieces, byteLength }: RequestBody, from: number, copy: Buffer): Buffer {
  let before = 0
  let copied = 0
  for (const piece of pieces) {
    const start = Math.max(0, from - before)
    before += piece.byteLength
    if (start >= piece.byteLength) continue
    const part = piece.subarray(start, start + copy.byteLength - copied)
    const isWhole = part.byteLength === copy.byteLength || before === byteLength
    if (copied === 0 && isWhole) return Buffer.from(part.buffer, part.byteOffset, part.byteLength)
    copy.set(part, copied)
    copied += part.byteLength
    if (copied === copy.byteLength) break
  }
  return copy.subarray(0, copied)
}

/** Where the prompt itself begins. Nearly always near the beginning: to join a long body costs more than all of this. */
function mainIn(body: RequestBody, head: KeyWindow): number | undefined {
  const first = head.valueOf(main[0]!)
  if (first !== undefined) return first
  if (body.byteLength <= head.bytes.byteLength) return firstOf((name) => head.valueOf(name))
  const { buffer, byteOffset, byteLength } = body.bytes()
  const bytes = Buffer.from(buffer, byteOffset, byteLength)
  return firstOf((name) => mainAt(bytes, name))
}

function firstOf(find: (name: Buffer) => number | undefined): number | undefined {
  return main.map(find).find((at) => at !== undefined)
}

function mainAt(body: Buffer, key: Buffer): number | undefined {
  const near = valueAt(body.subarray(0, mainWindow), key)
  const tail = Math.max(mainWindow, body.byteLength - keyWindow)
  if (near !== undefined || tail >= body.byteLength) return near
  const behind = valueAt(body.subarray(tail), key)
  return behind === undefined ? undefined : tail + behind
}

/** A text, an object or an array behind a key near the beginning or the end of the body, as far as it is near. */
function partBehind(windows: readonly KeyWindow[], key: Buffer): Part | undefined {
  for (const window of windows) {
    const { bytes, at } = window
    const from = window.valueOf(key)
    if (from === undefined) continue
    const first = bytes[from]
    if (first !== quote && first !== 0x7b && first !== 0x5b) return undefined
    return { from: at + from, to: at + endOf(bytes, from) }
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

/** A block may lie in two pieces of the body: the bytes of its hash are put together here. */
const scratch = new Uint8Array(hashedBytes)

const hashMemory = new BigUint64Array(1)
/** Low half first, as on every machine that Bun and Node run on. */
const hashHalves = new Uint32Array(hashMemory.buffer)

class Chain {
  readonly blocks: number[] = []
  #hash: bigint
  /** Bytes of the block that has begun; the first of them are in the scratch. */
  #begun = 0

  constructor(seed: bigint) {
    this.#hash = seed
  }

  /** Goes on with these bytes of the body; false when the chain is as long as it may be. */
  add(pieces: readonly Uint8Array[], from: number, to: number): boolean {
    let before = 0
    for (const piece of pieces) {
      const end = Math.min(to - before, piece.byteLength)
      for (let at = Math.max(0, from - before); at < end; ) {
        const size = bytesAt[this.blocks.length]
        if (size === undefined) return false
        const taken = Math.min(end - at, size - this.#begun)
        if (taken === size) this.#close(piece.subarray(at, at + Math.min(taken, hashedBytes)))
        else this.#collect(piece.subarray(at, at + taken), size)
        at += taken
      }
      before += piece.byteLength
      if (before >= to) break
    }
    return true
  }

  #collect(bytes: Uint8Array, size: number): void {
    const room = hashedBytes - this.#begun
    if (room > 0) scratch.set(bytes.byteLength > room ? bytes.subarray(0, room) : bytes, this.#begun)
    this.#begun += bytes.byteLength
    if (this.#begun < size) return
    this.#begun = 0
    this.#close(scratch.subarray(0, Math.min(size, hashedBytes)))
  }

  #close(block: Uint8Array): void {
    this.#hash = h64Raw(block, this.#hash)
    hashMemory[0] = this.#hash
    this.blocks.push(hashHalves[0]! >>> 1)
  }
}
