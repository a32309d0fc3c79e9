import type { RequestBody } from '../../http/request-body.ts'
import type { PromptChain } from '../../policies/selection/policy.ts'
import type { HeaderFields } from '../upstream/http-client.ts'
import type { PoolRequest } from '../workers/choice.ts'
import { bufferOver } from './event-scanner.ts'
import { firstHeader, keyFields } from './headers.ts'

export interface RequestKindOptions {
  readonly model: string | undefined
  readonly stream: boolean
  /** Path and query string. */
  readonly path: string
  readonly headers: HeaderFields
  readonly body: RequestBody | undefined
  readonly prompt?: PromptChain | undefined
  readonly session?: string | undefined
}

/** What JSON bodies have images, sound or films in, apart from their addresses. */
const media = ['"input_audio"', ';base64,'].map((text) => Buffer.from(text))

/** What the pool knows of a request, and keeps for as long as it runs: not its body. */
export class RequestKind implements PoolRequest {
  readonly bytes: number
  #options: RequestKindOptions

  constructor(options: RequestKindOptions) {
    this.#options = options
    this.bytes = options.body?.byteLength ?? 0
  }

  get model(): string | undefined {
    return this.#options.model
  }

  get stream(): boolean {
    return this.#options.stream
  }

  get prompt(): PromptChain | undefined {
    return this.#options.prompt
  }

  get session(): string | undefined {
    return this.#options.session
  }

  /** More of it may be images or sound than text: its bytes do not tell its tokens. */
  get hasMedia(): boolean {
    const { body } = this.#options
    return body?.pieces.some((piece) => media.some((text) => bufferOver(piece).includes(text))) ?? false
  }

  /** A worker has taken it, and no other will be asked: its body and its chain of blocks are no longer needed. */
  forgetPrompt(): void {
    this.#options = { ...this.#options, body: undefined, prompt: undefined }
  }

  /** The same for whichever worker turns out to serve it. */
  forAnyModel(): RequestKind {
    return new RequestKind({ ...this.#options, model: undefined })
  }

  /** The same key, route and size, to a factor of two: such requests are likely to fail alike. */
  kind(): string {
    const { path, headers } = this.#options
    const key =
      [...keyFields].map((name) => firstHeader(headers, name)).find((value) => value !== undefined) ?? ''
    const size = Math.round(Math.log2(this.bytes + 1))
    return `${key} ${path.split('?', 1)[0]} ${size}`
  }
}
