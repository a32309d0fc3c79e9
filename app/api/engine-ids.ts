import { randomBytes } from 'node:crypto'

/** Longest part of a client's id that is kept: the whole has at most 128 characters, as `requestId` has it. */
const keptCharacters = 115

/**
 * The ids under which workers know the requests in flight. vLLM makes its engine's id of `X-Request-Id` and cannot have
 * it twice at a time, while clients send one trace id with many requests. So one that is in use goes out with something
 * random behind it; the client still gets its own back.
 */
export class EngineIds {
  readonly #inFlight = new Set<string>()

  /** An id that no other request in flight has; `release` it at the end. */
  claim(requestId: string): string {
    let id = requestId
    while (this.#inFlight.has(id))
      id = `${requestId.slice(0, keptCharacters)}-${randomBytes(6).toString('hex')}`
    this.#inFlight.add(id)
    return id
  }

  release(id: string): void {
    this.#inFlight.delete(id)
  }
}
