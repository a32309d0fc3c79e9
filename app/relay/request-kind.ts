import type { PromptChain } from '../../policies/selection/policy.ts'
import type { HeaderFields } from '../upstream/http-client.ts'
import type { PoolRequest } from '../workers/choice.ts'
import { firstHeader, keyFields } from './headers.ts'

export interface RequestKindOptions {
  readonly model: string | undefined
  readonly stream: boolean
  /** Path and query string. */
  readonly path: string
  readonly headers: HeaderFields
  readonly bodyBytes: number
  readonly prompt?: PromptChain | undefined
  readonly session?: string | undefined
}

/** What the pool knows of a request, and keeps for as long as it runs: not its body. */
export class RequestKind implements PoolRequest {
  #options: RequestKindOptions

  constructor(options: RequestKindOptions) {
    this.#options = options
  }

  get model(): string | undefined {
    return this.#options.model
  }

  get stream(): boolean {
    return this.#options.stream
  }

  get bytes(): number {
    return this.#options.bodyBytes
  }

  get prompt(): PromptChain | undefined {
    return this.#options.prompt
  }

  get session(): string | undefined {
    return this.#options.session
  }

  /** A worker has taken it, and no other will be asked: its chain of blocks is no longer needed. */
  forgetPrompt(): void {
    if (this.#options.prompt !== undefined) this.#options = { ...this.#options, prompt: undefined }
  }

  /** The same for whichever worker turns out to serve it. */
  forAnyModel(): RequestKind {
    return new RequestKind({ ...this.#options, model: undefined })
  }

  /** The same key, route and size, to a factor of two: such requests are likely to fail alike. */
  kind(): string {
    const { path, headers, bodyBytes } = this.#options
    const key =
      [...keyFields].map((name) => firstHeader(headers, name)).find((value) => value !== undefined) ?? ''
    const size = Math.round(Math.log2(bodyBytes + 1))
    return `${key} ${path.split('?', 1)[0]} ${size}`
  }
}
