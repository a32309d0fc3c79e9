import { RouterError } from '../../http/errors.ts'
import type { FetchHandler, Runtime } from '../runtime/runtime.ts'
import { urlOf } from '../runtime/runtime.ts'
import type { ServerTls } from '../runtime/server-tls.ts'
import type { HeaderFields, HttpClient } from '../upstream/http-client.ts'

export interface OwnApiOptions {
  readonly runtime: Runtime
  /** Where the processes listen. */
  readonly address: () => {
    readonly host: string
    readonly port: number
    readonly tls: ServerTls | undefined
  }
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
    const { host, port, tls } = address()
    if (tls?.clientCa !== undefined) throw new RouterError('forbidden', wantsCertificate)
    // Whoever has the port is this router itself, by whatever name its certificate has.
    const own = { unchecked: true }
    this.#client ??= runtime.createClient({ connectTimeoutMs, idleSocketMs, maxHeadBytes, tls: own })
    const body = await incoming.body(maxBodyBytes())
    const pending = this.#client.send({
      origin: urlOf(reachable(host), port, tls !== undefined),
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

const wantsCertificate =
  'the API asks its clients for a certificate, and with several processes this page has none: use a client of your own'

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
