import { RouterError } from './errors.ts'

export interface HeldBytesOptions {
  /** Bytes that all bodies may have together. */
  readonly limit: number
  /** Told of each request that is turned away, so that the edge can count it. */
  readonly onFull?: () => void
}

/**
 * The memory that request bodies take up, all together. A limit per request alone does not protect the process: twenty
 * bodies of 60 MB at once fill what a container has.
 */
export class HeldBytes {
  /** Bytes that all bodies may have together; those that are held already stay. */
  limit: number
  readonly #onFull: () => void
  /** Bytes held now. */
  held = 0

  constructor({ limit, onFull = () => {} }: HeldBytesOptions) {
    this.limit = limit
    this.#onFull = onFull
  }

  /** The part of one request. */
  open(): HeldPart {
    return new HeldPart(this)
  }

  /** @throws RouterError `buffers_full`, where others hold something and there is no room for so many bytes more */
  take(bytes: number, own: number): void {
    // A single body is always let in: what the limit per request allows must not be refused for ever.
    if (this.held > own && this.held + bytes > this.limit) {
      this.#onFull()
      throw buffersFull()
    }
    this.held += bytes
  }
}

/** What one request holds of it. */
export class HeldPart {
  readonly #all: HeldBytes
  #own = 0
  #closed = false

  constructor(all: HeldBytes) {
    this.#all = all
  }

  /** @throws RouterError `buffers_full` where there is no room for so many bytes more; nothing is added then */
  add(bytes: number): void {
    if (this.#closed) throw new RouterError('client_closed', 'the request has ended')
    this.#all.take(bytes, this.#own)
    this.#own += bytes
  }

  /** All of it is given back. */
  close(): void {
    this.#closed = true
    this.#all.held -= this.#own
    this.#own = 0
  }
}

function buffersFull(): RouterError {
  const message = 'The router holds as many bytes of request bodies as it may; try again in a moment.'
  return new RouterError('buffers_full', message, { retryAfter: 1 })
}
