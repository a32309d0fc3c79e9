import { mix } from './rendezvous.ts'

const rows = 4
const width = 512
/** Requests after which all counts are halved: the sketch remembers one to two times as many. */
const window = 2000

/**
 * How many of the recent requests have a block, in 4 KiB (count-min sketch with conservative update). It never says too
 * little. Only blocks of more than one request in twice the number of workers matter, so that its errors do not.
 */
export class Popularity {
  readonly #counts = new Uint16Array(rows * width)
  #total = 0
  #sinceHalved = 0

  /** Requests that are remembered. */
  get total(): number {
    return this.#total
  }

  /** A request has come. */
  request(): void {
    this.#total += 1
    this.#sinceHalved += 1
    if (this.#sinceHalved < window) return
    this.#sinceHalved = 0
    this.#total >>= 1
    for (let at = 0; at < this.#counts.length; at++) this.#counts[at]! >>= 1
  }

  /** It has this block. */
  add(block: number): void {
    const hash = mix(block, 977)
    const count = this.#countAt(hash)
    if (count === 0xffff) return
    for (let row = 0; row < rows; row++) {
      const at = place(hash, row)
      if (this.#counts[at] === count) this.#counts[at] = count + 1
    }
  }

  count(block: number): number {
    return this.#countAt(mix(block, 977))
  }

  #countAt(hash: number): number {
    let least = 0xffff
    for (let row = 0; row < rows; row++) least = Math.min(least, this.#counts[place(hash, row)]!)
    return least
  }
}

/** Each row has a place of its own, made from two parts of one hash. */
function place(hash: number, row: number): number {
  return row * width + ((hash + row * ((hash >>> 16) | 1)) & (width - 1))
}
