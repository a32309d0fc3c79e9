/**
 * A TCP proxy that spoils the line: slow, thin, dead in one or both directions, cut in slivers, reset, refused.
 * Everything can be switched while connections are open. It knows nothing of HTTP.
 */

import { connect, createServer, type Server, type Socket } from 'node:net'
import { type Random, seeded, slices } from './random.ts'
import type { Scope } from './scope.ts'
import { listening, portOf, resetSocket } from './sockets.ts'

export type Direction = 'to-target' | 'to-client'

export interface Line {
  /** Milliseconds added to each piece, in each direction. */
  readonly latencyMs: number
  /** Bytes per second in each direction; 0 is no limit. */
  readonly bytesPerSecond: number
  /** Forwards nothing that way, FIN included, and keeps the connection open. What was held comes when it is lifted. */
  readonly blackhole: Direction | 'both' | 'none'
  /** Pieces of 1 to that many bytes, each a write of its own; 0 leaves them whole. */
  readonly slivers: number
}

export interface TcpProxy {
  readonly port: number
  readonly url: string
  /** Connections open now. */
  readonly open: number
  /** Connections accepted so far. */
  readonly accepted: number
  /** Changes only what is named. */
  set(line: Partial<Line>): void
  /** Sends FIN one way on every open connection and leaves the other way open. */
  halfClose(direction: Direction): void
  /** RST to both sides of every open connection. */
  resetAll(): void
  /** Refuses new connections; open ones stay. */
  refuse(): Promise<void>
  /** Takes new connections again, on the same port. */
  accept(): Promise<void>
  close(): Promise<void>
}

export interface TcpProxyOptions extends Partial<Line> {
  readonly target: number
  readonly port?: number
  /** Of the slivers, default 1. */
  readonly seed?: number
  readonly t?: Scope
}

const clean: Line = { latencyMs: 0, bytesPerSecond: 0, blackhole: 'none', slivers: 0 }

export async function startTcpProxy(options: TcpProxyOptions): Promise<TcpProxy> {
  const proxy = new FaultProxy(options)
  await proxy.accept()
  options.t?.after(() => proxy.close())
  return proxy
}

class FaultProxy implements TcpProxy {
  port: number
  accepted = 0
  readonly #target: number
  readonly #random: Random
  readonly #links = new Set<Link>()
  #line: Line
  #server: Server | undefined

  constructor(options: TcpProxyOptions) {
    const { target, port = 0, seed = 1, t: _t, ...line } = options
    this.port = port
    this.#target = target
    this.#random = seeded(seed)
    this.#line = { ...clean, ...line }
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get open(): number {
    return this.#links.size
  }

  set(line: Partial<Line>): void {
    this.#line = { ...this.#line, ...line }
    for (const link of this.#links) link.wake()
  }

  halfClose(direction: Direction): void {
    for (const link of this.#links) link.endOf(direction)
  }

  resetAll(): void {
    for (const link of this.#links) link.reset()
  }

  async refuse(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    // close() stops listening at once and then waits for open connections, which may stay: nobody waits for that here.
    server?.close()
  }

  async accept(): Promise<void> {
    if (this.#server !== undefined) return
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client))
    await listening(server, this.port)
    this.port = portOf(server)
    this.#server = server
  }

  async close(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    const closed = new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()))
    this.resetAll()
    await closed
  }

  #accept(client: Socket): void {
    this.accepted++
    const target = connect({ port: this.#target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    const link: Link = new Link(
      client,
      target,
      () => this.#line,
      this.#random,
      () => this.#links.delete(link),
    )
    this.#links.add(link)
  }
}

/** Both directions of one connection. */
class Link {
  readonly #pipes: Readonly<Record<Direction, Pipe>>
  readonly #sockets: readonly Socket[]
  #over = false

  constructor(client: Socket, target: Socket, line: () => Line, random: Random, onOver: () => void) {
    this.#sockets = [client, target]
    this.#pipes = {
      'to-target': new Pipe(client, target, 'to-target', line, random),
      'to-client': new Pipe(target, client, 'to-client', line, random),
    }
    let left = 2
    for (const socket of this.#sockets) {
      socket.on('error', () => this.reset())
      socket.on('close', () => {
        left--
        if (left === 0) onOver()
      })
    }
  }

  wake(): void {
    for (const pipe of Object.values(this.#pipes)) pipe.wake()
  }

  endOf(direction: Direction): void {
    this.#pipes[direction].end()
  }

  reset(): void {
    if (this.#over) return
    this.#over = true
    for (const pipe of Object.values(this.#pipes)) pipe.stop()
    for (const socket of this.#sockets) resetSocket(socket)
  }
}

interface Held {
  /** undefined is the FIN. */
  readonly bytes: Uint8Array | undefined
  readonly due: number
}

/** Held bytes above this stop the reading, so that the sender feels a dead line as it would a real one. */
const heldAtMost = 256 * 1024

/** One direction: a queue of what came, each piece with the time at which it may go on. */
class Pipe {
  readonly #from: Socket
  readonly #to: Socket
  readonly #direction: Direction
  readonly #line: () => Line
  readonly #random: Random
  readonly #queue: Held[] = []
  #bytes = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #writing = false
  #over = false
  #freeAt = 0

  constructor(from: Socket, to: Socket, direction: Direction, line: () => Line, random: Random) {
    this.#from = from
    this.#to = to
    this.#direction = direction
    this.#line = line
    this.#random = random
    from.on('data', (bytes: Buffer) => this.#hold(bytes))
    from.on('end', () => this.#hold(undefined))
  }

  wake(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#next()
  }

  end(): void {
    this.#over = true
    this.#to.end()
  }

  stop(): void {
    this.#over = true
    clearTimeout(this.#timer)
  }

  #hold(bytes: Buffer | undefined): void {
    if (this.#over) return
    this.#bytes += bytes?.length ?? 0
    if (this.#bytes > heldAtMost) this.#from.pause()
    const due = performance.now() + this.#line().latencyMs
    const { slivers, bytesPerSecond } = this.#line()
    const pieces = bytes === undefined ? [undefined] : this.#cut(bytes, slivers, bytesPerSecond)
    for (const piece of pieces) this.#queue.push({ bytes: piece, due })
    this.#next()
  }

  /** A thin line also sends small pieces: a hundred a second, so that time passes within a large one. */
  #cut(bytes: Buffer, slivers: number, bytesPerSecond: number): Uint8Array[] {
    if (slivers > 0) return slices(bytes, this.#random, 1, slivers)
    if (bytesPerSecond === 0) return [bytes]
    const size = Math.max(1, Math.floor(bytesPerSecond / 100))
    return slices(bytes, this.#random, size, size)
  }

  #next(): void {
    const first = this.#queue[0]
    const { blackhole } = this.#line()
    const dead = blackhole === 'both' || blackhole === this.#direction
    if (first === undefined || dead || this.#writing || this.#over || this.#timer) return
    const wait = Math.max(first.due, this.#freeAt) - performance.now()
    if (wait > 0) {
      this.#timer = setTimeout(() => this.wake(), wait)
      return
    }
    this.#queue.shift()
    this.#send(first.bytes)
  }

  #send(bytes: Uint8Array | undefined): void {
    if (bytes === undefined) {
      this.end()
      return
    }
    const { bytesPerSecond, slivers } = this.#line()
    // Without a pause now and then the kernel joins the slivers again before the reader sees them.
    if (slivers > 0 && this.#random() < 0.1) this.#freeAt = performance.now() + 1
    if (bytesPerSecond > 0) {
      this.#freeAt = Math.max(this.#freeAt, performance.now() - 20) + (bytes.length * 1000) / bytesPerSecond
    }
    this.#writing = true
    this.#to.write(bytes, () => {
      this.#writing = false
      this.#bytes -= bytes.length
      if (this.#bytes <= heldAtMost) this.#from.resume()
      this.#next()
    })
  }
}
