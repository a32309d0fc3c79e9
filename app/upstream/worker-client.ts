import {
  type HttpClient,
  type HttpClientOptions,
  type OutgoingRequest,
  type TlsFiles,
  transportError,
} from './http-client.ts'
import { type ConnectionEvents, type Origin, WorkerConnection } from './worker-connection.ts'
import { WorkerExchange } from './worker-exchange.ts'

/** Milliseconds between two looks for connections that have been idle for too long. */
const sweepMs = 500

/** The connections to one origin that wait for a request; the one used last is used first. */
interface Target {
  readonly origin: Origin
  readonly idle: WorkerConnection[]
}

/** HTTP/1.1 to workers over sockets of `node:net` and `node:tls`, the same on both runtimes. */
export function workerClient(options: HttpClientOptions): HttpClient {
  return new PooledClient(options)
}

class PooledClient implements HttpClient, ConnectionEvents {
  #options: HttpClientOptions
  readonly #targets = new Map<string, Target>()
  readonly #connections = new Set<WorkerConnection>()
  /** By origin, in place of the option for all. */
  readonly #tls = new Map<string, TlsFiles>()
  readonly #sweeper: ReturnType<typeof setInterval>

  constructor(options: HttpClientOptions) {
    this.#options = options
    this.#sweeper = setInterval(() => this.#sweep(), sweepMs)
    this.#sweeper.unref()
  }

  send(request: OutgoingRequest): WorkerExchange {
    const exchange = new WorkerExchange()
    const target = this.#target(request.origin)
    const connection = (request.fresh === true ? undefined : this.#takeIdle(target)) ?? this.#connect(target)
    try {
      connection.send(request, exchange)
    } catch (error) {
      exchange.fail(transportError(error))
      connection.destroy()
    }
    return exchange
  }

  setTls(origin: string | undefined, tls: TlsFiles | undefined): void {
    if (origin === undefined) this.#options = { ...this.#options, tls }
    else if (tls === undefined) this.#tls.delete(origin)
    else this.#tls.set(origin, tls)
    for (const [key, { idle }] of this.#targets) {
      const concerned = origin === undefined ? !this.#tls.has(key) : key === origin
      if (concerned) for (const stale of idle.splice(0)) stale.destroy()
    }
  }

  get connections(): number {
    return this.#connections.size
  }

  get idleConnections(): number {
    let count = 0
    for (const { idle } of this.#targets.values()) count += idle.length
    return count
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    for (const connection of this.#connections) connection.destroy()
  }

  // --- told by connections ---

  idle(connection: WorkerConnection): void {
    const { origin, tls } = connection
    // Other files were named while it carried a request: it must not go on with the old ones.
    if (tls !== this.#tlsOf(origin)) {
      connection.destroy()
      return
    }
    connection.idleSince = performance.now()
    this.#target(origin.key).idle.push(connection)
  }

  closed(connection: WorkerConnection): void {
    this.#connections.delete(connection)
    const { idle } = this.#target(connection.origin.key)
    const at = idle.indexOf(connection)
    if (at !== -1) idle.splice(at, 1)
  }

  #target(key: string): Target {
    let target = this.#targets.get(key)
    if (target === undefined) {
      target = { origin: originOf(key), idle: [] }
      this.#targets.set(key, target)
    }
    return target
  }

  #takeIdle({ idle }: Target): WorkerConnection | undefined {
    const connection = idle.pop()
    if (connection === undefined || !this.#isStale(connection)) return connection
    // The one used last is too old, and so are the others.
    for (const stale of [connection, ...idle.splice(0)]) stale.destroy()
    return undefined
  }

  #connect({ origin }: Target): WorkerConnection {
    const connection = new WorkerConnection(origin, { ...this.#options, tls: this.#tlsOf(origin) }, this)
    this.#connections.add(connection)
    return connection
  }

  #tlsOf({ key }: Origin): TlsFiles | undefined {
    return this.#tls.get(key) ?? this.#options.tls
  }

  #isStale({ idleSince }: WorkerConnection): boolean {
    return performance.now() - idleSince >= this.#options.idleSocketMs
  }

  /** Closes what has been idle for too long; forgets origins that nobody is connected to. */
  #sweep(): void {
    for (const [key, target] of this.#targets) {
      const kept = target.idle.findIndex((connection) => !this.#isStale(connection))
      for (const stale of target.idle.splice(0, kept === -1 ? target.idle.length : kept)) stale.destroy()
      if (target.idle.length === 0) this.#targets.delete(key)
    }
  }
}

function originOf(key: string): Origin {
  const { protocol, hostname, port, host } = new URL(key)
  const secure = protocol === 'https:'
  return {
    key,
    secure,
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || (secure ? 443 : 80)),
    host,
  }
}
