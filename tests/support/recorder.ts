/** One connection of a scripted worker: reads requests, runs their scripts one after the other, keeps the times. */

import type { Socket } from 'node:net'
import { canStream } from './answers.ts'
import { type Head, headerOf, MessageReader, type RawHeader } from './http-reader.ts'
import { play, type Script, Wire } from './wire.ts'

export interface RecordedRequest {
  /** Position on the worker's connection, 0 is the first. */
  readonly index: number
  readonly connection: RecordedConnection
  readonly method: string
  /** The request target as sent, query included. */
  readonly target: string
  readonly path: string
  readonly headers: readonly RawHeader[]
  /** Grows while the body arrives. */
  readonly body: Buffer
  /** An earlier request came on the same connection. */
  readonly reused: boolean
  /** When the head was there, by `performance.now()`. */
  readonly at: number
  /** When the last byte of the body was there. */
  readonly completeAt: number | undefined
  /** When the script had sent the whole response. */
  readonly completedAt: number | undefined
  /** The body asks for a stream, on a path that has streams. */
  readonly stream: boolean
  header(name: string): string | undefined
  /** The body as JSON, undefined when it is none. */
  json(): unknown
}

export interface PeerClose {
  readonly at: number
  readonly how: 'fin' | 'reset'
}

export interface RecordedConnection {
  readonly index: number
  readonly openedAt: number
  readonly requests: readonly RecordedRequest[]
  /** When the peer closed its side, by `performance.now()`; undefined while it has not, or when the worker reset. */
  readonly closedAt: number | undefined
  /** Settles when the peer closes its side, by FIN or reset. */
  readonly peerClosed: Promise<PeerClose>
  /** When nothing was left of the connection, whoever closed it. */
  readonly goneAt: number | undefined
}

export type Chooser = (request: RecordedRequest, connection: RecordedConnection) => Script | undefined

export interface ConnectionHooks {
  readonly index: number
  readonly keepAliveMs: number | undefined
  readonly onConnection: ((connection: RecordedConnection) => Script | undefined) | undefined
  readonly atHead: Chooser | undefined
  onHead(request: RecordedRequest): void
  onRequest(request: RecordedRequest): void
  choose: (request: RecordedRequest, connection: RecordedConnection) => Script
  onCompleted(request: RecordedRequest): void
}

export function acceptConnection(socket: Socket, hooks: ConnectionHooks): RecordedConnection {
  return new Connection(socket, hooks)
}

class Recorded implements RecordedRequest {
  readonly index: number
  readonly connection: RecordedConnection
  readonly method: string
  readonly target: string
  readonly path: string
  readonly headers: readonly RawHeader[]
  readonly reused: boolean
  readonly at = performance.now()
  completeAt: number | undefined
  completedAt: number | undefined
  readonly #pieces: Buffer[] = []

  constructor(head: Head, connection: RecordedConnection) {
    const [method = '', target = ''] = head.startLine.split(' ')
    this.method = method
    this.target = target
    this.path = target.split('?', 1)[0] ?? ''
    this.headers = head.headers
    this.connection = connection
    this.index = connection.requests.length
    this.reused = this.index > 0
  }

  get body(): Buffer {
    if (this.#pieces.length > 1) this.#pieces.splice(0, this.#pieces.length, Buffer.concat(this.#pieces))
    return this.#pieces[0] ?? Buffer.alloc(0)
  }

  get stream(): boolean {
    return canStream(this.path) && (this.json() as { stream?: unknown } | undefined)?.stream === true
  }

  push(piece: Buffer): void {
    this.#pieces.push(piece)
  }

  header(name: string): string | undefined {
    return headerOf(this.headers, name)
  }

  json(): unknown {
    try {
      const value: unknown = JSON.parse(this.body.toString())
      return typeof value === 'object' && value !== null ? value : undefined
    } catch {
      return undefined
    }
  }
}

class Connection implements RecordedConnection {
  readonly index: number
  readonly openedAt = performance.now()
  readonly requests: Recorded[] = []
  closedAt: number | undefined
  goneAt: number | undefined
  readonly peerClosed: Promise<PeerClose>
  readonly #socket: Socket
  readonly #hooks: ConnectionHooks
  readonly #wires = new Set<Wire>()
  #settle: (close: PeerClose) => void = () => {}
  #reader: MessageReader | undefined
  #queue: Promise<void> = Promise.resolve()
  #idle: ReturnType<typeof setTimeout> | undefined

  constructor(socket: Socket, hooks: ConnectionHooks) {
    this.index = hooks.index
    this.#socket = socket
    this.#hooks = hooks
    this.peerClosed = new Promise((resolve) => {
      this.#settle = resolve
    })
    this.#listen(socket)
    const script = hooks.onConnection?.(this)
    if (script) this.#run(script, undefined)
  }

  #listen(socket: Socket): void {
    socket.on('error', () => this.#peerClosed('reset'))
    socket.on('end', () => {
      this.#peerClosed('fin')
      // As uvicorn does: a client that is gone ends the generation, and the connection with it.
      this.#finish()
      socket.end()
    })
    socket.on('close', () => {
      this.goneAt = performance.now()
      this.#finish()
    })
    socket.on('data', (piece: Buffer) => this.#data(piece))
  }

  #peerClosed(how: PeerClose['how']): void {
    if (this.closedAt !== undefined) return
    this.closedAt = performance.now()
    this.#settle({ at: this.closedAt, how })
  }

  #finish(): void {
    clearTimeout(this.#idle)
    for (const wire of this.#wires) wire.finish()
  }

  #data(piece: Buffer): void {
    clearTimeout(this.#idle)
    let bytes = piece
    while (bytes.length > 0) {
      const reader = this.#reader ?? this.#nextReader()
      reader.push(bytes)
      if (!reader.done) return
      bytes = reader.rest
      this.#reader = undefined
    }
  }

  #nextReader(): MessageReader {
    let request: Recorded | undefined
    let early: Script | undefined
    const reader = new MessageReader(
      { kind: 'request' },
      {
        onHead: (head) => {
          request = new Recorded(head, this)
          this.requests.push(request)
          this.#hooks.onHead(request)
          early = this.#hooks.atHead?.(request, this)
          if (early) this.#run(early, request)
          else if (/100-continue/i.test(request.header('expect') ?? '')) {
            this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n')
          }
        },
        onBody: (piece) => request?.push(piece),
        onEnd: () => {
          if (request === undefined) return
          request.completeAt = performance.now()
          this.#hooks.onRequest(request)
          if (!early) this.#run(this.#hooks.choose(request, this), request)
        },
      },
    )
    this.#reader = reader
    return reader
  }

  #run(script: Script, request: Recorded | undefined): void {
    const wire = new Wire(this.#socket, () => {
      if (request === undefined) return
      request.completedAt = performance.now()
      this.#hooks.onCompleted(request)
    })
    this.#wires.add(wire)
    this.#queue = this.#queue
      .then(() => play(script, wire))
      .then(() => {
        this.#wires.delete(wire)
        this.#rest(request, wire)
      })
  }

  /** After a response: the connection is kept for the next request unless the client said otherwise. */
  #rest(request: Recorded | undefined, wire: Wire): void {
    if (wire.over) return
    const { keepAliveMs } = this.#hooks
    if (/close/i.test(request?.header('connection') ?? '')) wire.end()
    // Both directions, as uvicorn does: a request that comes after that is not read, but answered with a reset.
    else if (keepAliveMs !== undefined) this.#idle = setTimeout(() => this.#socket.destroy(), keepAliveMs)
  }
}
