import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import {
  type HttpClientOptions,
  type OutgoingRequest,
  type TlsFiles,
  TransportError,
  type TransportFault,
  transportError,
} from './http-client.ts'
import { outOfFiles } from './open-files.ts'
import { requestHead } from './request-head.ts'
import { ResponseParser } from './response-parser.ts'
import { atEndOfTurn } from './turn.ts'
import type { ExchangeConnection, WorkerExchange } from './worker-exchange.ts'

/** Where a connection leads. */
export interface Origin {
  /** Scheme, host and port: connections of one key are alike. */
  readonly key: string
  readonly secure: boolean
  /** Without brackets. */
  readonly hostname: string
  readonly port: number
  /** As it goes into the Host field. */
  readonly host: string
}

export interface ConnectionEvents {
  /** It has served a request and can take another. */
  idle(connection: WorkerConnection): void
  closed(connection: WorkerConnection): void
}

/**
 * Bytes of a body that are written at once, and milliseconds until the next ones. A worker may answer before it has all
 * of a large body, 413 for instance, and close with a reset: bytes that are written after that make Node's socket fail
 * before the answer in it is read. So a large body goes out in slices, with time in between in which an answer would be
 * read, and the rest stays here once one begins. Without the pause, 3 of 10 such answers were lost on loopback.
 */
const sliceBytes = 512 * 1024
/** Of the first one, which goes out together with the head: most early answers are to the head. */
const firstSliceBytes = 64 * 1024
const slicePauseMs = 1

/** Bodies beyond this size go out in slices. */
const largeBytes = 256 * 1024

/** Bodies up to this size are copied behind their head: one write costs less than two. */
const copiedBytes = 16 * 1024
/** A peer that has vanished without a word is noticed in a long prefill too. */
const tcpKeepAliveMs = 30_000

/** One connection to a worker, for one request after the other. */
export class WorkerConnection implements ExchangeConnection {
  readonly origin: Origin
  /** The files that it was opened with. */
  readonly tls: TlsFiles | undefined
  /** When it became idle, by `performance.now()`. */
  idleSince = 0
  readonly #options: HttpClientOptions
  readonly #events: ConnectionEvents
  readonly #socket: Socket
  readonly #connectTimer: ReturnType<typeof setTimeout>
  #connected = false
  #served = false
  #exchange: WorkerExchange | undefined
  #parser: ResponseParser | undefined
  /** Of the response under way. */
  #answered = false
  /** The rest of the body was not sent: the worker would take the next request for it. */
  #cutShort = false
  /** What is still to be written of the request's body. */
  #unsent: Uint8Array[] = []
  #error: unknown

  constructor(origin: Origin, options: HttpClientOptions, events: ConnectionEvents) {
    this.origin = origin
    this.tls = options.tls
    this.#options = options
    this.#events = events
    const socket = open(origin, options.tls, this.#onData)
    this.#socket = socket
    this.#connectTimer = setTimeout(
      () => this.#fail(new TransportError('unreachable', 'CONNECT_TIMEOUT')),
      options.connectTimeoutMs,
    )
    socket.setNoDelay(true)
    socket.setKeepAlive(true, tcpKeepAliveMs)
    socket.once(origin.secure ? 'secureConnect' : 'connect', () => {
      this.#connected = true
      clearTimeout(this.#connectTimer)
    })
    socket.once('end', () => this.#onEnd())
    socket.on('error', (error) => {
      this.#error ??= error
    })
    socket.once('close', () => this.#onClose())
  }

  /** Sends a request at the end of this turn; the connection must be new or idle. */
  send(request: OutgoingRequest, exchange: WorkerExchange): void {
    this.#exchange = exchange
    this.#answered = false
    exchange.begin(this)
    if (exchange.over) return
    const head = requestHead(request, this.origin.host)
    atEndOfTurn(() => {
      if (this.#exchange !== exchange || exchange.over) return
      try {
        this.#write(head, request)
      } catch (error) {
        this.#fail(error)
      }
    })
  }

  get #corks(): boolean {
    return this.#options.corked === true
  }

  #write(head: string, { method, body }: OutgoingRequest): void {
    // Not before: what arrives ahead of the request cannot be its answer.
    const { maxHeadBytes } = this.#options
    this.#parser = new ResponseParser({ parts: this.#exchange!, method, maxHeadBytes })
    if (body === undefined || body.byteLength === 0) {
      this.#socket.write(head, 'latin1')
    } else if (body.byteLength <= copiedBytes) {
      const message = Buffer.allocUnsafe(head.length + body.byteLength)
      let at = message.write(head, 'latin1')
      for (const piece of body.pieces) {
        message.set(piece, at)
        at += piece.byteLength
      }
      this.#socket.write(message)
    } else {
      const sliced = body.byteLength > largeBytes
      if (sliced || this.#corks) this.#socket.cork()
      this.#socket.write(head, 'latin1')
      this.#unsent = [...body.pieces]
      this.#writeSlice(sliced ? firstSliceBytes : largeBytes)
    }
  }

  /** Writes as much as is written at once; the rest follows when the socket has taken that, unless an answer begins. */
  #writeSlice(most = sliceBytes): void {
    let bytes = 0
    if (this.#corks) this.#socket.cork()
    while (bytes < most && this.#unsent.length > 0) {
      const piece = this.#unsent[0]!
      const room = most - bytes
      if (piece.byteLength > room) this.#unsent[0] = piece.subarray(room)
      else this.#unsent.shift()
      const slice = piece.byteLength > room ? piece.subarray(0, room) : piece
      bytes += slice.byteLength
      this.#socket.write(slice)
    }
    // Within one system call no reset can be met.
    while (this.#socket.writableCorked > 0) this.#socket.uncork()
    if (this.#unsent.length === 0) return
    if (this.#socket.writableNeedDrain) this.#socket.once('drain', this.#writeNext)
    else this.#writeNext()
  }

  readonly #writeNext = (): void => {
    // Timers run before sockets are read, immediates after that: what has arrived by now is read before the next write.
    setTimeout(() => setImmediate(this.#writeUnlessAnswered), slicePauseMs)
  }

  readonly #writeUnlessAnswered = (): void => {
    if (this.#parser?.begun === false && this.#exchange !== undefined) {
      this.#writeSlice()
    } else {
      this.#cutShort = true
      this.#unsent = []
    }
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  destroy(): void {
    clearTimeout(this.#connectTimer)
    this.#socket.destroy()
  }

  /** @param isLent the bytes are overwritten by the next ones, of whichever connection */
  readonly #onData = (bytes: Buffer, isLent: boolean): void => {
    const parser = this.#parser
    if (parser === undefined) {
      // Nothing was asked for.
      this.destroy()
      return
    }
    this.#answered = true
    try {
      try {
        parser.push(isLent && this.#exchange?.borrows !== true ? Buffer.from(bytes) : bytes)
      } finally {
        // What came before a fault is good.
        this.#exchange?.handOn()
      }
    } catch (error) {
      this.#fail(error)
      return
    }
    if (parser.done) this.#finishExchange()
  }

  #finishExchange(): void {
    const sent = this.#unsent.length === 0 && this.#socket.writableLength === 0
    const reusable = this.#parser?.keepAlive === true && sent && !this.#cutShort
    this.#parser = undefined
    this.#exchange = undefined
    this.#served = true
    if (reusable && !this.#socket.destroyed && !this.#socket.readableEnded) this.#events.idle(this)
    else this.destroy()
  }

  /** The worker has closed its side: the end of a body without a length, or of a connection that has served its time. */
  #onEnd(): void {
    if (this.#parser?.finish() === true) this.#finishExchange()
    else this.#fail(new TransportError('reset', 'ECONNRESET', { reused: this.#reused }))
  }

  #onClose(): void {
    const fault = this.#faultOfClose()
    const known = this.#error === undefined ? undefined : transportError(this.#error)
    this.#fail(
      new TransportError(fault, known?.code ?? 'ECONNRESET', { reused: this.#reused, cause: this.#error }),
    )
    this.#events.closed(this)
  }

  #faultOfClose(): TransportFault {
    if (this.#connected) return 'reset'
    // Looked at only where a request waits, because the look opens a file. The error codes of a full descriptor table
    // differ by runtime, and some read as ECONNREFUSED.
    return this.#exchange !== undefined && outOfFiles() ? 'exhausted' : 'unreachable'
  }

  /** It has served before, and not a byte of this answer has come: perhaps the worker had closed it already. */
  get #reused(): boolean {
    return this.#served && !this.#answered
  }

  #fail(error: unknown): void {
    const exchange = this.#exchange
    this.#exchange = undefined
    this.#parser = undefined
    this.#unsent = []
    exchange?.fail(transportError(error))
    this.destroy()
  }
}

/** All sockets are read into this one: a buffer of its own for each chunk costs Node more than the copy. */
const landing = Buffer.allocUnsafeSlow(64 * 1024)

function open(
  { secure, hostname, port }: Origin,
  tls: TlsFiles | undefined,
  onData: (bytes: Buffer, isLent: boolean) => void,
): Socket {
  if (!secure) {
    const callback = (bytes: number): boolean => {
      onData(landing.subarray(0, bytes), true)
      return true
    }
    return connect({ host: hostname, port, onread: { buffer: landing, callback } })
  }
  const { serverName: servername = hostname, unchecked = false, ...files } = tls ?? {}
  const socket = connectTls({
    ...{ host: hostname, port, ...files, rejectUnauthorized: !unchecked },
    // RFC 6066, section 3: addresses are not sent as a server name.
    ...(isIP(servername) === 0 && { servername }),
  })
  return socket.on('data', (bytes: Buffer) => onData(bytes, false))
}
