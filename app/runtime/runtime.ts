import type { Incoming } from '../../http/incoming.ts'
import type { ByteSource, HttpClient, HttpClientOptions } from '../upstream/http-client.ts'
import type { ServerTls } from './server-tls.ts'

/** What the router needs of the runtime that it runs on, and nothing else: one implementation each for Bun and Node. */
export interface Runtime {
  readonly name: 'bun' | 'node'
  readonly version: string
  /** Whether a listener tells which certificate a client has shown: `Incoming.clientCertificate`. */
  readonly tellsClientCertificates: boolean
  createClient(options: HttpClientOptions): HttpClient
  listen(options: ListenOptions): Promise<Listener>
}

/** One client request as its runtime hands it over: Hono's `c.env.incoming`. */
export interface ClientRequest extends Incoming {
  /**
   * Calls `listener` once when nothing more can reach the client: it has left, or, on Node, the response is over. What
   * is still open for a request then is so by mistake.
   */
  onGone(listener: () => void): void
  /** Makes a response body of a source that is read as fast as the client reads, by the shortest way the runtime has. */
  openStream(source: ByteSource): StreamBody
}

/** What a `Response` of the runtime takes for a body that is still coming. */
export type StreamBody = NonNullable<ConstructorParameters<typeof Response>[0]>

export type FetchHandler = (
  request: Request,
  env: { incoming: ClientRequest },
) => Response | Promise<Response>

export interface ListenOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly fetch: FetchHandler
  /** Other processes of this router listen on the same port; the kernel spreads the connections. */
  readonly shared?: boolean
  /** Undefined: the listener speaks plain HTTP. */
  readonly tls?: ServerTls | undefined
}

export interface Listener {
  /** For example http://127.0.0.1:8080 */
  readonly url: string
  readonly port: number
  /** Connections that are open now, as far as the runtime tells. */
  readonly connections: number
  /**
   * Shows another certificate from now on, and asks other authorities about clients. Connections that are open keep
   * theirs. Only for a listener that speaks TLS.
   */
  renew(tls: ServerTls): void
  /**
   * Accepts what has been connected so far, then no more, and drops idle connections; requests under way go on. Resolves
   * when nothing is accepted any more.
   */
  stopAccepting(): Promise<void>
  /** Lets answers that are being written reach their clients, for `graceMs` at most; then drops every connection. */
  close(graceMs: number): Promise<void>
}

/** The port is taken, or the address is not ours: told to the operator without a stack. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
  readonly port: number

  /** @param port the one that was asked for */
  constructor(message: string, port: number, options?: ErrorOptions) {
    super(message, options)
    this.port = port
  }
}

export function listenError(error: unknown, host: string, port: number): ListenError {
  const code = (error as { code?: string }).code ?? ''
  const reason =
    code === 'EADDRINUSE'
      ? 'the port is in use by another process'
      : code === 'EACCES'
        ? 'not permitted: ports below 1024 need privileges'
        : code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND'
          ? 'this machine does not have that address'
          : (error as Error).message
  return new ListenError(`cannot listen on ${host}:${port}: ${reason}`, port, { cause: error })
}

/** How a host is written within a URL: IPv6 addresses stand in brackets. */
export function urlOf(host: string, port: number, secure = false): string {
  return `http${secure ? 's' : ''}://${host.includes(':') ? `[${host}]` : host}:${port}`
}
