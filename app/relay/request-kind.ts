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
  readonly model: string | undefined
  readonly stream: boolean
  readonly bytes: number
  readonly session: string | undefined
  readonly #path: string
  readonly #headers: HeaderFields
  #body: RequestBody | undefined
  #prompt: PromptChain | undefined

  constructor({ model, stream, path, headers, body, prompt, session }: RequestKindOptions) {
    this.model = model
    this.stream = stream
    this.bytes = body?.byteLength ?? 0
    this.session = session
    this.#path = path
    this.#headers = headers
    this.#body = body
    this.#prompt = prompt
  }

  get prompt(): PromptChain | undefined {
    return this.#prompt
  }

  /** More of it may be images or sound than text: its bytes do not tell its tokens. */
  get hasMedia(): boolean {
    const pieces = this.#body?.pieces ?? []
    return pieces.some((piece) => media.some((text) => bufferOver(piece).includes(text)))
  }

  /** A worker has taken it, and no other will be asked: its body and its chain of blocks are no longer needed. */
  forgetPrompt(): void {
    this.#body = undefined
    this.#prompt = undefined
  }

  /** The same for whichever worker turns out to serve it. */
  forAnyModel(): RequestKind {
    const { stream, session } = this
    const known = { path: this.#path, headers: this.#headers, body: this.#body, prompt: this.#prompt }
    return new RequestKind({ ...known, stream, session, model: undefined })
  }

  /** The same key, route and size, to a factor of two: such requests are likely to fail alike. */
  kind(): string {
    const key =
      [...keyFields].map((name) => firstHeader(this.#headers, name)).find((value) => value !== undefined) ??
      ''
    const size = Math.round(Math.log2(this.bytes + 1))
    return `${key} ${this.#path.split('?', 1)[0]} ${size}`
  }
}
