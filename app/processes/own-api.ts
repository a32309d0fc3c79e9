import { RouterError } from '../../http/errors.ts'
import type { FetchHandler, Runtime } from '../runtime/runtime.ts'
import { urlOf } from '../runtime/runtime.ts'
import type { HeaderFields, HttpClient } from '../upstream/http-client.ts'

export interface OwnApiOptions {
  readonly runtime: Runtime
  /** Where the processes listen. */
  readonly address: () => { readonly host: string; readonly port: number }
  /** Bytes. */
  readonly maxBodyBytes: () => number
}

/** Milliseconds. */
const connectTimeoutMs = 2000
/** Milliseconds; below the time after which our own listener closes an idle connection. */
const idleSocketMs = 4000
const maxHeadBytes = 64 * 1024

/** The API of the processes for the supervisor, which has none itself: as a client of the port that they share. */
export class OwnApi {
  readonly #options: OwnApiOptions
  #client: HttpClient | undefined

  constructor(options: OwnApiOptions) {
    this.#options = options
  }

  readonly fetch: FetchHandler = async (request, { incoming }) => {
    const { runtime, address, maxBodyBytes } = this.#options
    this.#client ??= runtime.createClient({ connectTimeoutMs, idleSocketMs, maxHeadBytes })
    const { host, port } = address()
    const body = await incoming.body(maxBodyBytes())
    const pending = this.#client.send({
      origin: urlOf(reachable(host), port),
      path: new URL(request.url).pathname,
      method: request.method,
      headers: incoming.headers.filter(([name]) => !framing.has(name)),
      body,
    })
    incoming.onGone(() => pending.abort())
    const answer = await pending.head.catch((cause: unknown) => {
      throw new RouterError('draining', 'no process of the router answers at this moment', {
        retryAfter: 1,
        cause,
      })
    })
    return new Response(incoming.openStream(answer.body), {
      status: answer.status,
      headers: headersOf(answer.headers),
    })
  }

  async close(): Promise<void> {
    await this.#client?.close()
  }
}

/** The client writes its own. */
const framing: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding'])

/** Of the connection between the two, not of the answer: RFC 9110 7.6.1. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'transfer-encoding',
])

function headersOf(fields: HeaderFields): Headers {
  const headers = new Headers()
  for (const [name, value] of fields) if (!hopByHop.has(name.toLowerCase())) headers.append(name, value)
  return headers
}

/** A listener on all addresses is reached on loopback. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  return host === '::' ? '::1' : host
}
