/** One who waits. Kept by whoever may have to leave the line early. */
export interface Waiter {
  /** Gives this one what it waits for. */
  readonly admit: () => void
  /** When it joined, in milliseconds of the queue's clock. */
  readonly since: number
}

interface Node extends Waiter {
  previous: Node | undefined
  next: Node | undefined
}

/** First come, first served, and anyone may leave from the middle: a doubly linked list, every step O(1). */
export class WaitingLine {
  #first: Node | undefined
  #last: Node | undefined
  #length = 0

  get length(): number {
    return this.#length
  }

  get first(): Waiter | undefined {
    return this.#first
  }

  /** Joins at the end. The function returned leaves the line; call it once. */
  join(waiter: Waiter): () => void {
    const node: Node = { ...waiter, previous: this.#last, next: undefined }
    if (this.#last === undefined) this.#first = node
    else this.#last.next = node
    this.#last = node
    this.#length++
    return () => this.#remove(node)
  }

  #remove(node: Node): void {
    if (node.previous === undefined) this.#first = node.next
    else node.previous.next = node.next
    if (node.next === undefined) this.#last = node.previous
    else node.next.previous = node.previous
    this.#length--
  }
}
