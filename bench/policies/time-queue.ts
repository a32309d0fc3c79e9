interface Entry<T> {
  readonly at: number
  readonly place: number
  readonly value: T
}

/** What comes first in time comes out first; of what is due at the same time, what was put in first. A binary heap. */
export class TimeQueue<T> {
  readonly #heap: Entry<T>[] = []
  #places = 0

  get size(): number {
    return this.#heap.length
  }

  get first(): Entry<T> | undefined {
    return this.#heap[0]
  }

  push(at: number, value: T): void {
    const entry = { at, place: this.#places++, value }
    const heap = this.#heap
    let index = heap.length
    heap.push(entry)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(entry, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = entry
  }

  pop(): Entry<T> {
    const heap = this.#heap
    const top = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return top
    let index = 0
    for (let child = 1; child < heap.length; child = 2 * index + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1
      if (!isBefore(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
    return top
  }
}

function isBefore(a: Entry<unknown>, b: Entry<unknown>): boolean {
  return a.at < b.at || (a.at === b.at && a.place < b.place)
}
