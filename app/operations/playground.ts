import type { Context } from 'hono'
import type { Incoming } from '../../http/incoming.ts'
import type { GatewayContext } from '../request/context.ts'
import type { ClientRequest, FetchHandler } from '../runtime/runtime.ts'

/** Carries the key that the API is to see: `Authorization` is the admin's here. */
const clientKey = 'x-router-api-key'

/** What the page reads of an answer. A worker may say more, and this listener is no place for it. */
const shownHeaders: ReadonlySet<string> = new Set([
  'content-type',
  'retry-after',
  'x-request-id',
  'x-router-worker',
  'x-router-attempts',
])

/**
 * `POST /playground`: a chat as any client sends it, through the whole API: its keys, limits, checks, accounts. Being an
 * operator gives no right to it that a client does not have.
 *
 * @param api answers requests to the API
 */
export function playground(api: FetchHandler) {
  return async function playground(c: Context<GatewayContext>): Promise<Response> {
    const incoming = new PlaygroundRequest(c.env.incoming)
    const request = new Request('http://router/v1/chat/completions', {
      method: 'POST',
      headers: incoming.headers.map(([name, value]): [string, string] => [name, value]),
    })
    const response = await api(request, { incoming })
    for (const name of [...response.headers.keys()])
      if (!shownHeaders.has(name)) response.headers.delete(name)
    // What a worker calls its answer must not make a document of this origin of it.
    response.headers.set('x-content-type-options', 'nosniff')
    response.headers.set('cache-control', 'no-store')
    return response
  }
}

/** The page's request as the API sees it: its body, connection and address, and no header but these. */
class PlaygroundRequest implements ClientRequest {
  readonly headers: Incoming['headers']
  readonly #page: ClientRequest

  constructor(page: ClientRequest) {
    this.#page = page
    const kept = ['content-type', 'content-length', 'transfer-encoding', 'user-agent'].flatMap((name) => {
      const value = page.header(name)
      return value === undefined ? [] : [[name, value] as const]
    })
    const key = page.header(clientKey)
    this.headers = key === undefined ? kept : [...kept, ['authorization', `Bearer ${key}`]]
  }

  header(name: string): string | undefined {
    return this.headers.find((field) => field[0] === name)?.[1]
  }

  get body(): ClientRequest['body'] {
    return this.#page.body.bind(this.#page)
  }

  get signal(): AbortSignal {
    return this.#page.signal
  }

  get remoteAddress(): string | undefined {
    return this.#page.remoteAddress
  }

  onGone(listener: () => void): void {
    this.#page.onGone(listener)
  }

  get openStream(): ClientRequest['openStream'] {
    return this.#page.openStream.bind(this.#page)
  }
}
