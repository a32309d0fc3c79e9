/** The listening socket of one server: it can stop listening, listen again on the same port, and drop everything. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

export interface ListenerOptions {
  host: string
  keepAliveTimeoutMs: number
  handle(req: IncomingMessage, res: ServerResponse, body: Buffer): void
}

/** Milliseconds that clients have to take their last bytes off a server that stops. */
const lastBytesMs = 500

export class Listener {
  private readonly options: ListenerOptions
  private readonly sockets = new Set<Socket>()
  private server: Server | undefined
  private lastPort = 0
  private closed = false
  /** Requests whose answers have not ended. */
  private inProgress = 0
  private finished: (() => void) | undefined

  constructor(options: ListenerOptions) {
    this.options = options
  }

  get port(): number {
    return this.lastPort
  }

  get listening(): boolean {
    return this.server !== undefined
  }

  /** Listens on the port, 0 for a free one. Rejects when it is taken. */
  open(port: number): Promise<void> {
    // Each time a new server: one that was closed with connections in progress cannot listen again everywhere.
    const server = this.create()
    this.server = server
    return new Promise((resolve, reject) => {
      const { host } = this.options
      server.once('error', (cause: NodeJS.ErrnoException) => {
        this.server = undefined
        // The runtimes word this differently; the code is the same.
        const message = `cannot listen on ${host}:${port}: ${cause.code ?? cause.message}`
        reject(Object.assign(new Error(message, { cause }), { code: cause.code }))
      })
      server.listen({ port, host, backlog: 2048 }, () => {
        this.lastPort = (server.address() as AddressInfo).port
        resolve()
      })
    })
  }

  /** Stops listening and closes idle connections; requests in progress go on. */
  refuse(): void {
    this.server?.close()
    this.server?.closeIdleConnections()
    this.server = undefined
  }

  /** Listens again where it did. Does nothing when it still listens or is closed for good. */
  async listenAgain(): Promise<void> {
    if (!this.server && !this.closed) await this.open(this.lastPort)
  }

  /** As `close`, but requests in progress get to their end first: uvicorn's way to stop. */
  async finish(): Promise<void> {
    this.closed = true
    this.refuse()
    if (this.inProgress > 0) {
      await new Promise<void>((resolve) => {
        this.finished = resolve
      })
    }
    const gone = [...this.sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)))
    for (const socket of this.sockets) socket.end()
    await Promise.race([Promise.all(gone), new Promise((resolve) => setTimeout(resolve, lastBytesMs))])
    await this.drop()
  }

  /** As `drop`, for good. */
  close(): Promise<void> {
    this.closed = true
    return this.drop()
  }

  /** Stops listening and cuts every connection. Resolves when all are gone. */
  async drop(): Promise<void> {
    this.refuse()
    const gone = [...this.sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)))
    for (const socket of this.sockets) socket.destroy()
    await Promise.all(gone)
  }

  private create(): Server {
    const { keepAliveTimeoutMs } = this.options
    const server = createServer({
      keepAliveTimeout: keepAliveTimeoutMs,
      // Node adds a second to be lenient with clients; uvicorn does not.
      keepAliveTimeoutBuffer: 0,
      requestTimeout: 0,
      headersTimeout: 0,
      maxHeaderSize: 65_536,
    })
    server.on('connection', (socket) => {
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket))
    })
    server.on('request', (req, res) => this.read(req, res))
    return server
  }

  private read(req: IncomingMessage, res: ServerResponse): void {
    const chunks: Buffer[] = []
    this.inProgress += 1
    res.once('close', () => {
      this.inProgress -= 1
      if (this.inProgress === 0) this.finished?.()
    })
    // A client that leaves while it still sends is an error of its own socket, not of the server.
    req.on('error', () => {})
    res.on('error', () => {})
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
      this.options.handle(req, res, body)
    })
  }
}
