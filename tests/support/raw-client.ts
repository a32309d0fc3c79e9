/**
 * An HTTP/1.1 client over a bare socket: sends exactly the bytes it is told to, and keeps exactly the bytes it gets.
 * One connection per request unless a `RawConnection` is used. Light enough for a thousand streams in one process.
 */

import { connect, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { type Head, headerOf, MessageReader, type RawHeader } from './http-reader.ts'
import { type RawRequestOptions, requestBytes } from './request-bytes.ts'
import { resetSocket } from './sockets.ts'
import { type SseEvent, SseParser } from './sse-parser.ts'

export type { RawHeader } from './http-reader.ts'
export type { RawRequestOptions } from './request-bytes.ts'

export interface RawAddress {
  readonly port: number
  readonly host?: string
  /** Address that the client is to have; default: the system's choice. */
  readonly localAddress?: string | undefined
  /** Over TLS, with these options of `node:tls`. */
  readonly tls?: ConnectionOptions | undefined
}

export interface RawHead {
  readonly status: number
  readonly headers: readonly RawHeader[]
  /** The first value of that name. */
  header(name: string): string | undefined
  /** Interim responses (1xx) that came before. */
  readonly interim: readonly Head[]
}

export interface RawBody {
  /** Without chunk framing. */
  readonly bytes: Buffer
  /** It ended where its framing says. */
  readonly complete: boolean
  /** Why not. */
  readonly fault: string | undefined
}

export interface TimedEvent extends SseEvent {
  /** By `performance.now()`. */
  readonly at: number
}

export interface Closed {
  readonly at: number
  /** `fin` and `reset` by the peer, `local` by this client. */
  readonly how: 'fin' | 'reset' | 'local'
  /** Of the socket's error, for example ECONNREFUSED. */
  readonly code: string | undefined
}

/** One request and its response. Promises that reject are safe to ignore. */
export interface RawExchange {
  readonly connection: RawConnection
  readonly sentAt: number
  /** When the first byte of anything came back. */
  readonly firstByteAt: number | undefined
  /** When the response was over, whole or not. */
  readonly endedAt: number | undefined
  /** Rejects when the connection ends before a head. */
  readonly head: Promise<RawHead>
  /** Never rejects: see `complete`. */
  readonly body: Promise<RawBody>
  /** The SSE events so far, when the answer is `text/event-stream`. */
  readonly events: readonly TimedEvent[]
  /** Each event as it comes; ends with the response. */
  eachEvent(): AsyncGenerator<TimedEvent, void>
  /** The first `count` events; rejects when the response ends before. */
  firstEvents(count: number): Promise<readonly TimedEvent[]>
  /** The status and the whole body; rejects when the response is not complete. */
  text(): Promise<{ status: number; text: string }>
  /** Every byte that came back, framing included. */
  raw(): Buffer
  /** Leaves: FIN, or with `reset` RST. */
  abort(options?: { reset?: boolean }): void
  /** Takes nothing more off the socket, until `resume`: the peer's window fills. */
  pauseReading(): void
  resume(): void
}

export interface RawConnection {
  /** Settles when it is open; rejects when it is refused. */
  readonly opened: Promise<void>
  /** Settles when the peer, or this side, has closed it. */
  readonly closed: Promise<Closed>
  readonly localPort: number | undefined
  /** The next request; the one before must be answered. Exactly one at a time. */
  request(options?: RawRequestOptions): RawExchange
  /** Adds bytes to the request that is under way, for bodies in pieces. Settles when the kernel has them. */
  write(bytes: string | Uint8Array): Promise<void>
  /** Closes the sending side only. */
  end(): void
  abort(options?: { reset?: boolean }): void
  /** Bytes that came when no response was due. */
  readonly stray: Buffer
}

/** One request on a connection of its own, which is closed after the response. */
export function rawRequest(options: RawRequestOptions & RawAddress): RawExchange {
  const connection = new SocketConnection(options)
  const exchange = connection.request(options)
  void exchange.body.then(() => connection.abort())
  return exchange
}

export function openConnection(address: RawAddress): RawConnection {
  return new SocketConnection(address)
}

class SocketConnection implements RawConnection {
  readonly opened: Promise<void>
  readonly closed: Promise<Closed>
  readonly #host: string
  readonly #socket: Socket
  /** Below TLS: only this one can be reset. */
  readonly #wire: Socket
  #exchange: SocketExchange | undefined
  #stray: Buffer[] = []

  constructor({ port, host = '127.0.0.1', localAddress, tls }: RawAddress) {
    this.#host = `${host}:${port}`
    const wire = connect({ port, host, noDelay: true, ...(localAddress !== undefined && { localAddress }) })
    const socket = tls === undefined ? wire : connectTls({ ...tls, socket: wire })
    this.#wire = wire
    this.#socket = socket
    this.opened = new Promise((resolve, reject) => {
      socket.once(tls === undefined ? 'connect' : 'secureConnect', resolve)
      socket.once('error', reject)
      socket.once('close', () => reject(new Error('closed before it was open')))
    })
    this.opened.catch(() => {})
    this.closed = new Promise((resolve) => {
      let how: Closed['how'] = 'local'
      let code: string | undefined
      const settle = (): void => resolve({ at: performance.now(), how, code })
      socket.on('end', () => {
        how = 'fin'
        this.#exchange?.finish(how)
        settle()
      })
      socket.on('error', (error: NodeJS.ErrnoException) => {
        how = 'reset'
        code = error.code
      })
      socket.on('close', () => {
        this.#exchange?.finish(how)
        settle()
      })
    })
    socket.on('data', (piece: Buffer) => this.#data(piece))
  }

  get localPort(): number | undefined {
    return this.#socket.localPort
  }

  get stray(): Buffer {
    return Buffer.concat(this.#stray)
  }

  request(options: RawRequestOptions = {}): RawExchange {
    const before = this.#exchange
    if (before !== undefined && before.endedAt === undefined) throw new Error('one request at a time')
    const message = options.bytes ?? requestBytes(options, this.#host)
    this.#exchange = new SocketExchange(this, this.#socket, options.method)
    this.#socket.write(message)
    return this.#exchange
  }

  write(bytes: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error ? reject(error) : resolve()))
    })
  }

  end(): void {
    this.#socket.end()
  }

  abort({ reset = false } = {}): void {
    if (reset) resetSocket(this.#wire)
    else this.#socket.destroy()
  }

  #data(piece: Buffer): void {
    const exchange = this.#exchange
    const stray = exchange && exchange.endedAt === undefined ? exchange.push(piece) : piece
    if (stray.length > 0) this.#stray.push(stray)
  }
}

class SocketExchange implements RawExchange {
  readonly connection: RawConnection
  readonly sentAt = performance.now()
  firstByteAt: number | undefined
  endedAt: number | undefined
  readonly head: Promise<RawHead>
  readonly body: Promise<RawBody>
  readonly events: TimedEvent[] = []
  readonly #socket: Socket
  readonly #reader: MessageReader
  readonly #raw: Buffer[] = []
  readonly #pieces: Buffer[] = []
  readonly #interim: Head[] = []
  #waiting: (() => void)[] = []

  constructor(connection: RawConnection, socket: Socket, method: string | undefined) {
    this.connection = connection
    this.#socket = socket
    const head = Promise.withResolvers<RawHead>()
    const body = Promise.withResolvers<RawBody>()
    head.promise.catch(() => {})
    this.head = head.promise
    this.body = body.promise
    let sse: SseParser | undefined
    const options = { kind: 'response', ...(method === undefined ? {} : { method }) } as const
    this.#reader = new MessageReader(options, {
      onHead: (message) => {
        const status = Number(message.startLine.split(' ')[1])
        if (status < 200 && status !== 101) return void this.#interim.push(message)
        const header = (name: string) => headerOf(message.headers, name)
        if (/^text\/event-stream/i.test(header('content-type') ?? '')) sse = this.#events()
        head.resolve({ status, headers: message.headers, header, interim: this.#interim })
      },
      onBody: (piece) => {
        this.#pieces.push(piece)
        sse?.push(piece)
      },
      onEnd: ({ complete, fault }) => {
        this.endedAt = performance.now()
        head.reject(new Error(`no response head: ${fault}`))
        body.resolve({ bytes: Buffer.concat(this.#pieces), complete, fault })
        this.#wake()
      },
    })
  }

  /** Returns the bytes that come after the end of the response. */
  push(piece: Buffer): Buffer {
    this.firstByteAt ??= performance.now()
    this.#raw.push(piece)
    this.#reader.push(piece)
    return this.#reader.done ? this.#reader.rest : Buffer.alloc(0)
  }

  finish(how: Closed['how']): void {
    this.#reader.finish(how)
  }

  async *eachEvent(): AsyncGenerator<TimedEvent, void> {
    for (let index = 0; ; index++) {
      while (index >= this.events.length) {
        if (this.endedAt !== undefined) return
        await new Promise<void>((resolve) => this.#waiting.push(resolve))
      }
      yield this.events[index] as TimedEvent
    }
  }

  async firstEvents(count: number): Promise<readonly TimedEvent[]> {
    for await (const _event of this.eachEvent()) {
      if (this.events.length >= count) return this.events.slice(0, count)
    }
    throw new Error(`the response ended after ${this.events.length} events, ${count} were wanted`)
  }

  async text(): Promise<{ status: number; text: string }> {
    const { status } = await this.head
    const { bytes, complete, fault } = await this.body
    if (!complete) throw new Error(`the response is not complete: ${fault}`)
    return { status, text: bytes.toString() }
  }

  raw(): Buffer {
    return Buffer.concat(this.#raw)
  }

  abort(options?: { reset?: boolean }): void {
    this.connection.abort(options)
  }

  pauseReading(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  #events(): SseParser {
    return new SseParser((event) => {
      this.events.push({ ...event, at: performance.now() })
      this.#wake()
    })
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }
}
