/** A binary heap whose members may change their rank: the first in O(1), every change in O(log n). */
export class IndexedHeap<T> {
  readonly #members: T[] = []
  readonly #places = new Map<T, number>()
  readonly #isBefore: (a: T, b: T) => boolean

  /** @param isBefore a total order */
  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore
  }

  get first(): T | undefined {
    return this.#members[0]
  }

  add(one: T): void {
    this.#put(one, this.#members.length)
    this.moved(one)
  }

  remove(one: T): void {
    const last = this.#members.pop()!
    const place = this.#places.get(one)!
    this.#places.delete(one)
    if (last === one) return
    this.#put(last, place)
    this.moved(last)
  }

  /** To be called when the rank of a member has changed. */
  moved(one: T): void {
    this.#rise(one)
    this.#sink(one)
  }

  #rise(one: T): void {
    for (let place = this.#places.get(one)!; place > 0; ) {
      const above = (place - 1) >> 1
      const parent = this.#members[above]!
      if (!this.#isBefore(one, parent)) return
      this.#put(parent, place)
      this.#put(one, above)
      place = above
    }
  }

  #sink(one: T): void {
    for (let place = this.#places.get(one)!; ; ) {
      const left = 2 * place + 1
      const right = this.#members[left + 1]
      let child = this.#members[left]
      if (child === undefined) return
      const isRight = right !== undefined && this.#isBefore(right, child)
      if (isRight) child = right
      if (!this.#isBefore(child, one)) return
      const below = isRight ? left + 1 : left
      this.#put(child, place)
      this.#put(one, below)
      place = below
    }
  }

  #put(one: T, place: number): void {
    this.#members[place] = one
    this.#places.set(one, place)
  }
}
