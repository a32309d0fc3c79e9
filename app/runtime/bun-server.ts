import type { ServerTls } from './server-tls.ts'

export type BunServer = Bun.Server<undefined>

/** Starts a server on the listener's port. `isRetired` says whether another has taken its place since. */
export type OpenServer = (tls: ServerTls | undefined, isRetired: () => boolean) => BunServer

/** Seconds a kept-alive connection may be silent between requests; above the 60 s of common load balancers. */
export const keepAliveSeconds = 75

/** Milliseconds for which a server that was replaced still takes what comes: until its last idle connection is gone. */
const retireMs = (keepAliveSeconds + 5) * 1000
/** Servers that were replaced and still take connections; the oldest stops where there are more. */
const mostRetired = 32

/**
 * One listener over a server of Bun's, or over several of them in a row: Bun keeps the certificate that a server was
 * started with (`reload` leaves it, Bun 1.4.5), so that another one is another server on the same port, which both share.
 *
 * To stop the server before it at once would drop its idle connections, perhaps under a request that is on its way.
 * So it serves on for a while, and ends each connection with the answer to its next request.
 */
export class BunListener {
  readonly #open: OpenServer
  #current: BunServer
  #tls: ServerTls | undefined
  readonly #retired = new Set<Retired>()
  /** Servers that take no connections any more, and have open ones perhaps. */
  readonly #stopped = new Set<BunServer>()

  constructor(open: OpenServer, tls: ServerTls | undefined) {
    this.#open = open
    this.#tls = tls
    this.#current = this.#start(tls)
  }

  get port(): number | undefined {
    return this.#current.port
  }

  get pendingRequests(): number {
    let pending = 0
    for (const server of this.#all()) pending += server.pendingRequests
    return pending
  }

  renew(tls: ServerTls): void {
    const [before, server] = [this.#tls, this.#current]
    this.#current = this.#start(tls)
    this.#tls = tls
    // What no longer holds must not be shown, and who is no longer trusted not be let in, for any time.
    const atOnce = before === undefined || before.clientCa !== tls.clientCa || before.expiresAt < Date.now()
    const retired = new Retired(server, (one) => this.#end(one), atOnce ? 0 : retireMs)
    this.#retired.add(retired)
    const [oldest] = this.#retired
    if (this.#retired.size > mostRetired) oldest?.stop()
  }

  stopAccepting(): void {
    for (const retired of this.#retired) retired.stop()
    this.#stop(this.#current)
  }

  async close(graceMs: number): Promise<void> {
    for (const retired of this.#retired) retired.stop()
    await Promise.all([...this.#all()].map((server) => close(server, graceMs)))
  }

  #start(tls: ServerTls | undefined): BunServer {
    const server: BunServer = this.#open(tls, () => server !== this.#current)
    return server
  }

  #end(retired: Retired): void {
    this.#retired.delete(retired)
    this.#stop(retired.server)
  }

  #stop(server: BunServer): void {
    this.#stopped.add(server)
    // Resolves when its last connection is closed.
    void server.stop(false).then(() => this.#stopped.delete(server))
  }

  #all(): Set<BunServer> {
    const retired = [...this.#retired].map(({ server }) => server)
    return new Set([this.#current, ...retired, ...this.#stopped])
  }
}

/** A server in whose place another one is. */
class Retired {
  readonly server: BunServer
  readonly #ended: (retired: Retired) => void
  readonly #timer: ReturnType<typeof setTimeout>

  constructor(server: BunServer, ended: (retired: Retired) => void, ms: number) {
    this.server = server
    this.#ended = ended
    this.#timer = setTimeout(() => this.#ended(this), ms)
    this.#timer.unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#ended(this)
  }
}

async function close(server: BunServer, graceMs: number): Promise<void> {
  const timer = setTimeout(() => void server.stop(true), graceMs)
  await server.stop(graceMs === 0)
  clearTimeout(timer)
  await server.stop(true)
}
