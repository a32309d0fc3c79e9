/** A place in a line: whoever has it can leave from anywhere. */
export interface Place<T> {
  readonly of: T
}

interface Node<T> extends Place<T> {
  previous: Node<T> | undefined
  next: Node<T> | undefined
}

/** In the order of arrival, and anyone may leave from the middle: a doubly linked list, every step O(1). */
export class WaitingLine<T> {
  #first: Node<T> | undefined
  #last: Node<T> | undefined
  #length = 0

  get length(): number {
    return this.#length
  }

  get first(): T | undefined {
    return this.#first?.of
  }

  get last(): T | undefined {
    return this.#last?.of
  }

  /** Joins at the end. */
  join(one: T): Place<T> {
    const node: Node<T> = { of: one, previous: this.#last, next: undefined }
    if (this.#last === undefined) this.#first = node
    else this.#last.next = node
    this.#last = node
    this.#length++
    return node
  }

  /** @param place of this line; to be given up once */
  leave(place: Place<T>): void {
    const { previous, next } = place as Node<T>
    if (previous === undefined) this.#first = next
    else previous.next = next
    if (next === undefined) this.#last = previous
    else next.previous = previous
    this.#length--
  }
}
