import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { getRequestListener, RequestError } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { type ClientCertificate, clientCertificateOf } from '../../http/client-certificate.ts'
import { RouterError } from '../../http/errors.ts'
import type { UploadBounds } from '../../http/incoming.ts'
import { BodyCollector, type RequestBody } from '../../http/request-body.ts'
import { defaultUploadSilenceMs, UploadSilence } from '../../http/upload-silence.ts'
import type { ByteSource, HeaderFields } from '../upstream/http-client.ts'
import { endOfTurn } from '../upstream/turn.ts'
import { workerClient } from '../upstream/worker-client.ts'
import { acceptQueueEmpty } from './accept-queue.ts'
import { flowToClient } from './node-client.ts'
import { createNodeServer } from './node-server.ts'
import { openStream } from './open-stream.ts'
import {
  type ClientRequest,
  type FetchHandler,
  type Listener,
  type ListenOptions,
  listenError,
  type Runtime,
  urlOf,
} from './runtime.ts'

export const node: Runtime = {
  name: 'node',
  version: process.versions.node,
  tellsClientCertificates: true,
  createClient: (options) => workerClient({ ...options, corked: true }),
  listen,
}

async function listen({ host, port, fetch, shared = false, tls }: ListenOptions): Promise<Listener> {
  const { server, connections, renew } = createNodeServer(
    tls,
    getRequestListener((_, env) => handle(fetch, _, env as NodeEnv), {
      overrideGlobalObjects: true,
      errorHandler: refused,
    }),
  )
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, host, port)))
    server.listen({ host, port, backlog: 4096, reusePort: shared }, resolve)
  })
  const address = server.address() as AddressInfo
  let accepted = 0
  server.on('connection', () => accepted++)
  let stopped: Promise<void> | undefined
  let closed: Promise<void> | undefined

  async function stop(): Promise<void> {
    await acceptQueueEmpty(() => accepted)
    closed = new Promise((resolve) => server.close(() => resolve()))
    server.closeIdleConnections()
  }

  function stopAccepting(): Promise<void> {
    stopped ??= stop()
    return stopped
  }

  return {
    url: urlOf(host, address.port, tls !== undefined),
    port: address.port,
    get connections() {
      return connections.size
    },
    renew,
    stopAccepting,
    async close(graceMs) {
      await stopAccepting()
      // A connection is idle only after its answer has been written; nobody tells when.
      const sweep = setInterval(() => server.closeIdleConnections(), 10)
      const deadline = setTimeout(() => server.closeAllConnections(), graceMs)
      await closed
      clearInterval(sweep)
      clearTimeout(deadline)
    },
  }
}

/** What could not become a request, or not be answered: where the next one begins is doubtful, too. */
function refused(error: unknown): Response {
  const status = error instanceof RequestError ? 400 : 500
  return new Response(null, { status, headers: { connection: 'close' } })
}

interface NodeEnv {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
}

async function handle(
  fetch: FetchHandler,
  request: Request,
  { incoming, outgoing }: NodeEnv,
): Promise<Response> {
  const connection = new NodeRequest(incoming, outgoing)
  const response = await fetch(request, { incoming: connection })
  const stream = connection.opened
  // Nobody wrapped the stream on its way through the middleware: its chunks can go from socket to socket.
  if (stream === undefined) {
    await endOfTurn()
    return response
  }
  try {
    if (response.body !== stream.body) return response
    outgoing.writeHead(response.status, headersOf(response))
    flowToClient(stream.source, outgoing)
  } catch (error) {
    stream.source.cancel()
    throw error
  }
  return RESPONSE_ALREADY_SENT
}

/** By connection. */
const shownCertificates = new WeakMap<TLSSocket, ClientCertificate | undefined>()

class NodeRequest implements ClientRequest {
  readonly #incoming: IncomingMessage
  readonly #outgoing: ServerResponse
  #headers: HeaderFields | undefined
  #signal: AbortSignal | undefined
  /** The stream made last, and what pushes it. */
  opened: { readonly body: ReadableStream<Uint8Array>; readonly source: ByteSource } | undefined

  constructor(incoming: IncomingMessage, outgoing: ServerResponse) {
    this.#incoming = incoming
    this.#outgoing = outgoing
  }

  get headers(): HeaderFields {
    this.#headers ??= pairs(this.#incoming.rawHeaders)
    return this.#headers
  }

  header(name: string): string | undefined {
    const value = this.#incoming.headers[name]
    return typeof value === 'string' ? value : value?.join(', ')
  }

  get signal(): AbortSignal {
    if (this.#signal !== undefined) return this.#signal
    const controller = new AbortController()
    this.onGone(() => this.#outgoing.writableFinished || controller.abort())
    this.#signal = controller.signal
    return this.#signal
  }

  onGone(listener: () => void): void {
    const outgoing = this.#outgoing
    if (outgoing.destroyed) listener()
    else outgoing.once('close', listener)
  }

  get remoteAddress(): string | undefined {
    return this.#incoming.socket.remoteAddress
  }

  get clientCertificate(): ClientCertificate | undefined {
    const socket = this.#incoming.socket as TLSSocket
    if (socket.authorized !== true) return undefined
    // The server lets no client show another one later.
    if (!shownCertificates.has(socket))
      shownCertificates.set(socket, clientCertificateOf(socket.getPeerCertificate()))
    return shownCertificates.get(socket)
  }

  async body(
    limit: number,
    { held, silenceMs = defaultUploadSilenceMs }: UploadBounds = {},
  ): Promise<RequestBody> {
    // It has left while something else was waited for: no event would ever tell.
    if (this.#incoming.destroyed && !this.#incoming.readableEnded) throw leftWhileSending()
    const collector = new BodyCollector(limit, {
      held,
      announced: Number(this.#incoming.headers['content-length'] ?? 0),
    })
    let silence: UploadSilence | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        const waiting = new UploadSilence(silenceMs, () => reject(waiting.error))
        silence = waiting
        this.#incoming
          .on('data', (chunk: Uint8Array) => {
            waiting.heard()
            try {
              collector.add(chunk)
            } catch (error) {
              reject(error)
            }
          })
          .once('end', resolve)
          .once('error', reject)
          .once('close', reject)
      })
    } catch (error) {
      if (error instanceof RouterError) throw error
      throw leftWhileSending(error)
    } finally {
      silence?.end()
    }
    return collector.body()
  }

  openStream(source: ByteSource): ReadableStream<Uint8Array> {
    const body = openStream(source)
    this.opened = { body, source }
    return body
  }
}

function leftWhileSending(cause?: unknown): RouterError {
  return new RouterError('client_closed', 'the client left while it sent its request', { cause })
}

function headersOf(response: Response): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {}
  for (const [name, value] of response.headers) {
    if (name !== 'set-cookie') headers[name] = value
  }
  const cookies = response.headers.getSetCookie()
  if (cookies.length > 0) headers['set-cookie'] = cookies
  return headers
}

function pairs(raw: readonly string[]): HeaderFields {
  const list: [string, string][] = []
  for (let index = 0; index < raw.length; index += 2) list.push([raw[index]!, raw[index + 1]!])
  return list
}
