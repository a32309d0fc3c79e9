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
  readonly #limit: number
  readonly #onFull: () => void
  #held = 0

  constructor({ limit, onFull = () => {} }: HeldBytesOptions) {
    this.#limit = limit
    this.#onFull = onFull
  }

  /** Bytes held now. */
  get held(): number {
    return this.#held
  }

  /** The part of one request. */
  open(): HeldPart {
    let own = 0
    let closed = false
    return {
      add: (bytes) => {
        if (closed) throw new RouterError('client_closed', 'the request has ended')
        // A single body is always let in: what the limit per request allows must not be refused for ever.
        if (this.#held > own && this.#held + bytes > this.#limit) {
          this.#onFull()
          throw buffersFull()
        }
        this.#held += bytes
        own += bytes
      },
      close: () => {
        closed = true
        this.#held -= own
        own = 0
      },
    }
  }
}

/** What one request holds of it. */
export interface HeldPart {
  /** @throws RouterError `buffers_full` where there is no room for so many bytes more; nothing is added then */
  add(bytes: number): void
  /** All of it is given back. */
  close(): void
}

function buffersFull(): RouterError {
  const message = 'The router holds as many bytes of request bodies as it may; try again in a moment.'
  return new RouterError('buffers_full', message, { retryAfter: 1 })
}
