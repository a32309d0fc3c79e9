import { RouterError } from '../../http/errors.ts'
import { incomingFromRequest, type UploadBounds } from '../../http/incoming.ts'
import { payloadTooLarge, RequestBody } from '../../http/request-body.ts'
import type { ByteSource, HeaderFields } from '../upstream/http-client.ts'
import { endOfTurn } from '../upstream/turn.ts'
import { workerClient } from '../upstream/worker-client.ts'
import { acceptQueueEmpty } from './accept-queue.ts'
import { bodyForClient } from './bun-client.ts'
import { BunListener, type BunServer, keepAliveSeconds, type OpenServer } from './bun-server.ts'
import { claimPort } from './claim-port.ts'
import {
  type ClientRequest,
  type FetchHandler,
  ListenError,
  type Listener,
  type ListenOptions,
  listenError,
  type Runtime,
  type StreamBody,
  urlOf,
} from './runtime.ts'
import type { ServerTls } from './server-tls.ts'

/** Bytes. A declared body of no more is read in one piece, which costs less than a stream. */
const atOnceBytes = 256 * 1024

export const bun: Runtime = {
  name: 'bun',
  version: process.versions.bun ?? '',
  tellsClientCertificates: false,
  createClient: workerClient,
  listen,
}

async function listen({ host, port, fetch, shared = false, tls }: ListenOptions): Promise<Listener> {
  try {
    const secure = tls !== undefined
    // A port that several servers are to share is claimed before: none of them notices a stranger's that shares too.
    const ownPort = secure && !shared ? await claimPort(host, port) : port
    const open: OpenServer = (own, isRetired) =>
      Bun.serve({
        hostname: host,
        port: ownPort,
        reusePort: shared || secure,
        // The longest header (16 KiB) is a flag of Bun's, not an option here; beyond, Bun itself answers with a bare 431.
        // Bun closes a connection that is quiet for 10 s, a prefill included. The limit below is for the time between
        // requests only: it is lifted as long as one is under way.
        idleTimeout: keepAliveSeconds,
        // The router's own limit answers with 413; Bun's would close the connection without a word.
        maxRequestBodySize: Number.MAX_SAFE_INTEGER,
        fetch: secure
          ? async (request, bunServer) => lastAnswer(await serve(fetch, request, bunServer), isRetired)
          : (request, bunServer) => serve(fetch, request, bunServer),
        // A body that fails on purpose ends here: the connection is reset, and there is nothing to add.
        error: () => new Response(null, { status: 500 }),
        ...(own !== undefined && { tls: tlsOptions(own) }),
      })
    const listener = new BunListener(open, tls)
    const foundPort = listener.port ?? ownPort
    let stopped: Promise<void> | undefined
    const stopAccepting = (): Promise<void> => {
      // Bun does not tell how many it has accepted.
      stopped ??= acceptQueueEmpty(() => 0).then(() => listener.stopAccepting())
      return stopped
    }
    return {
      url: urlOf(host, foundPort, secure),
      port: foundPort,
      // Bun does not tell how many connections wait for a request.
      get connections() {
        return listener.pendingRequests
      },
      renew: (next) => listener.renew(next),
      stopAccepting,
      async close(graceMs) {
        await stopAccepting()
        await listener.close(graceMs)
      },
    }
  } catch (error) {
    throw error instanceof ListenError ? error : listenError(error, host, port)
  }
}

/** TLS 1.2 is the least that Bun speaks. */
function tlsOptions({ cert, key, clientCa }: ServerTls): Bun.TLSOptions {
  if (clientCa === undefined) return { cert, key }
  return { cert, key, ca: clientCa, requestCert: true, rejectUnauthorized: true }
}

/** A connection with a certificate that was replaced ends with the answer. */
function lastAnswer(response: Response, isRetired: () => boolean): Response {
  if (isRetired()) response.headers.set('connection', 'close')
  return response
}

async function serve(fetch: FetchHandler, request: Request, server: BunServer): Promise<Response> {
  // HTTP/1.0 without Host: Bun's URL is then a bare path, which everything behind this would misread. 400, as on Node.
  if (request.url.startsWith('/'))
    return new Response(null, { status: 400, headers: { connection: 'close' } })
  const connection = new BunRequest(request, server)
  const response = await fetch(request, { incoming: connection })
  if (connection.streams) return response
  connection.rest()
  await endOfTurn()
  return response
}

class BunRequest implements ClientRequest {
  readonly #request: Request
  readonly #server: BunServer
  #headers: HeaderFields | undefined
  /** The body outlives the handler. */
  streams = false

  constructor(request: Request, server: BunServer) {
    this.#request = request
    this.#server = server
    // With a body still to come, the limit on silence stays: a stalled upload must not hold the connection for ever.
    if (!this.#announcesBody()) server.timeout(request, 0)
  }

  #announcesBody(): boolean {
    const length = this.header('content-length')
    return (length !== undefined && length !== '0') || this.header('transfer-encoding') !== undefined
  }

  /** The answer is out: the time until the next request on this connection is limited again. */
  rest(): void {
    this.#server.timeout(this.#request, keepAliveSeconds)
  }

  get headers(): HeaderFields {
    this.#headers ??= [...this.#request.headers]
    return this.#headers
  }

  header(name: string): string | undefined {
    return this.#request.headers.get(name) ?? undefined
  }

  get signal(): AbortSignal {
    return this.#request.signal
  }

  get remoteAddress(): string | undefined {
    return this.#server.requestIP(this.#request)?.address
  }

  async body(limit: number, bounds?: UploadBounds): Promise<RequestBody> {
    const body = await this.#readBody(limit, bounds)
    this.#server.timeout(this.#request, 0)
    return body
  }

  async #readBody(limit: number, bounds: UploadBounds | undefined): Promise<RequestBody> {
    const declared = this.header('content-length')
    // A chunked upload says its length only at its end, and a long one may never come: they are counted as they come.
    if (declared === undefined || Number(declared) > atOnceBytes)
      return incomingFromRequest(this.#request).body(limit, bounds)
    if (Number(declared) > limit) throw payloadTooLarge(limit, Number(declared))
    bounds?.held?.add(Number(declared))
    try {
      return new RequestBody([new Uint8Array(await this.#request.arrayBuffer())])
    } catch (error) {
      throw new RouterError('client_closed', 'the client left while it sent its request', { cause: error })
    }
  }

  onGone(listener: () => void): void {
    const { signal } = this.#request
    if (signal.aborted) listener()
    else signal.addEventListener('abort', listener, { once: true })
  }

  openStream(source: ByteSource): StreamBody {
    this.streams = true
    return bodyForClient(source, () => this.rest())
  }
}
