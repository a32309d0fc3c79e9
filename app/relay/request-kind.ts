import type { HeaderFields } from '../runtime/http-client.ts'
import type { PoolRequest } from '../workers/pool.ts'
import { headerOf } from './headers.ts'

export interface RequestKindOptions {
  readonly model: string | undefined
  readonly stream: boolean
  /** Path and query string. */
  readonly path: string
  readonly headers: HeaderFields
  readonly bodyBytes: number
}

/** What the pool knows of a request, and keeps for as long as it runs: not its body. */
export class RequestKind implements PoolRequest {
  readonly model: string | undefined
  readonly stream: boolean
  readonly #path: string
  readonly #headers: HeaderFields
  readonly #bodyBytes: number

  constructor({ model, stream, path, headers, bodyBytes }: RequestKindOptions) {
    this.model = model
    this.stream = stream
    this.#path = path
    this.#headers = headers
    this.#bodyBytes = bodyBytes
  }

  /** The same key, route and size, to a factor of two: such requests are likely to fail alike. */
  kind(): string {
    const key = headerOf(this.#headers, 'authorization') ?? headerOf(this.#headers, 'x-api-key') ?? ''
    const size = Math.round(Math.log2(this.#bodyBytes + 1))
    return `${key} ${this.#path.split('?', 1)[0]} ${size}`
  }
}
