const none = -1
const firstRoom = 256

/**
 * Blocks with their bytes, in the order in which they were used last. To move one to the end of a `Map` takes four times
 * as long as to link it anew here, and a long prompt moves a hundred.
 */
export class RecentBlocks {
  /** Of all together. */
  bytes = 0
  readonly #places = new Map<number, number>()
  #blocks = new Int32Array(firstRoom)
  #sizes = new Int32Array(firstRoom)
  /** Of each place, the place used just before it, and the one used just after it. */
  #older = new Int32Array(firstRoom)
  #newer = new Int32Array(firstRoom)
  #oldest = none
  #newest = none
  readonly #free: number[] = []
  #used = 0

  get size(): number {
    return this.#places.size
  }

  /** In any order. */
  blocks(): Iterable<number> {
    return this.#places.keys()
  }

  /** It is the one used last from now on. True: it was not there before. */
  use(block: number, bytes: number): boolean {
    const known = this.#places.get(block)
    if (known !== undefined) {
      if (known !== this.#newest) {
        this.#unlink(known)
        this.#append(known)
      }
      return false
    }
    const place = this.#free.pop() ?? this.#nextPlace()
    this.#places.set(block, place)
    this.#blocks[place] = block
    this.#sizes[place] = bytes
    this.bytes += bytes
    this.#append(place)
    return true
  }

  /** Forgets the one that was used longest ago; undefined when there is none. */
  dropOldest(): number | undefined {
    const place = this.#oldest
    if (place === none) return undefined
    const block = this.#blocks[place]!
    this.#unlink(place)
    this.#places.delete(block)
    this.bytes -= this.#sizes[place]!
    this.#free.push(place)
    return block
  }

  #append(place: number): void {
    this.#older[place] = this.#newest
    this.#newer[place] = none
    if (this.#newest === none) this.#oldest = place
    else this.#newer[this.#newest] = place
    this.#newest = place
  }

  #unlink(place: number): void {
    const older = this.#older[place]!
    const newer = this.#newer[place]!
    if (older === none) this.#oldest = newer
    else this.#newer[older] = newer
    if (newer === none) this.#newest = older
    else this.#older[newer] = older
  }

  #nextPlace(): number {
    if (this.#used === this.#blocks.length) this.#grow()
    return this.#used++
  }

  #grow(): void {
    const room = this.#used * 2
    const [blocks, sizes, older, newer] = [this.#blocks, this.#sizes, this.#older, this.#newer]
    this.#blocks = new Int32Array(room)
    this.#sizes = new Int32Array(room)
    this.#older = new Int32Array(room)
    this.#newer = new Int32Array(room)
    this.#blocks.set(blocks)
    this.#sizes.set(sizes)
    this.#older.set(older)
    this.#newer.set(newer)
  }
}
