import {
  type ByteSink,
  type HeaderFields,
  type PendingAnswer,
  type RelayedBody,
  TransportError,
  type WorkerResponse,
} from './http-client.ts'
import type { ResponseParts } from './response-parser.ts'

/** Bytes of one response that may wait for their reader before the worker's socket is paused. */
const highWaterBytes = 256 * 1024

/** Bytes that are handed on in one piece, where the worker has sent many small ones: a token each, for instance. */
const pieceBytes = 64 * 1024

/** What an exchange may do with the connection that it has. */
export interface ExchangeConnection {
  pause(): void
  resume(): void
  /** Closes it at once. */
  destroy(): void
}

interface Reader {
  readonly resolve: (chunk: Uint8Array | undefined) => void
  readonly reject: (error: TransportError) => void
}

/**
 * One request on the wire: the connection pushes its response in. The router pulls it out; or has it pushed on, in the same
 * call in which it comes.
 */
export class WorkerExchange implements PendingAnswer<RelayedBody>, RelayedBody, ResponseParts {
  readonly head: Promise<WorkerResponse<RelayedBody>>
  readonly #gotHead: (answer: WorkerResponse<RelayedBody>) => void
  readonly #failHead: (error: TransportError) => void
  readonly #chunks: Uint8Array[] = []
  #connection: ExchangeConnection | undefined
  #bufferedBytes = 0
  #paused = false
  #wantsAll = false
  #ended = false
  #error: TransportError | undefined
  #reader: Reader | undefined
  #sink: ByteSink | undefined
  /** The sink takes nothing at the moment. */
  #sinkIsFull = false

  constructor() {
    const head = Promise.withResolvers<WorkerResponse<RelayedBody>>()
    this.head = head.promise
    this.#gotHead = head.resolve
    this.#failHead = head.reject
  }

  // --- pulled by the router ---

  read(): Promise<Uint8Array | undefined> {
    const piece = this.#takePiece()
    this.#resumeIfLow()
    if (piece !== undefined) return Promise.resolve(piece)
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (this.#ended) return Promise.resolve(undefined)
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject }
    })
  }

  async readAll(): Promise<Uint8Array> {
    this.#wantsAll = true
    if (this.#paused) this.#resume()
    while (!this.#ended) {
      if (this.#error !== undefined) throw this.#error
      await new Promise<unknown>((resolve, reject) => {
        this.#reader = { resolve, reject }
      })
    }
    const chunks = this.#chunks.splice(0)
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
  }

  // --- pushed on to the router ---

  flow(sink: ByteSink): void {
    this.#sink = sink
    this.resume()
  }

  resume(): void {
    this.#sinkIsFull = false
    this.#pushOn()
    this.#resumeIfLow()
    if (this.#error !== undefined) this.#leaveSink()?.fail(this.#error)
    else if (this.#ended && this.#chunks.length === 0) this.#leaveSink()?.end()
  }

  cancel(): void {
    this.abort()
  }

  abort(): void {
    this.#sink = undefined
    if (this.over) return
    this.fail(new TransportError('aborted', 'ABORTED'))
    this.#connection?.destroy()
  }

  // --- told by the connection ---

  /** It has been given a connection; or none is wanted any more. */
  begin(connection: ExchangeConnection): void {
    this.#connection = connection
    if (this.#error !== undefined) connection.destroy()
  }

  /** Nobody waits for it any more. */
  get over(): boolean {
    return this.#ended || this.#error !== undefined
  }

  /** What comes is pushed on before `handOn` returns: its bytes need only be lent. */
  get borrows(): boolean {
    return this.#sink !== undefined && !this.#sinkIsFull
  }

  onHead(status: number, headers: HeaderFields): void {
    this.#gotHead({ status, headers, body: this })
  }

  onData(chunk: Uint8Array): void {
    if (this.#error !== undefined) return
    this.#chunks.push(chunk)
    this.#bufferedBytes += chunk.byteLength
  }

  /** All that one look at the socket has brought has been pushed in: it goes on in one piece. */
  handOn(): void {
    if (this.#wantsAll) return
    if (this.#sink !== undefined) {
      this.#pushOn()
    } else if (this.#reader !== undefined) {
      const piece = this.#takePiece()
      if (piece !== undefined) {
        this.#reader.resolve(piece)
        this.#reader = undefined
      }
    }
    if (this.#paused || this.#bufferedBytes < highWaterBytes) return
    this.#paused = true
    this.#connection?.pause()
  }

  onEnd(): void {
    this.handOn()
    this.#ended = true
    if (this.#paused) this.#resume()
    this.#connection = undefined
    this.#reader?.resolve(undefined)
    this.#reader = undefined
    if (this.#chunks.length === 0) this.#leaveSink()?.end()
  }

  fail(error: TransportError): void {
    if (this.over) return
    this.#error = error
    this.#chunks.length = 0
    this.#bufferedBytes = 0
    this.#failHead(error)
    this.#reader?.reject(error)
    this.#reader = undefined
    this.#leaveSink()?.fail(error)
  }

  /** As much as the sink takes. */
  #pushOn(): void {
    while (this.#sink !== undefined && !this.#sinkIsFull) {
      const piece = this.#takePiece()
      if (piece === undefined) return
      this.#sinkIsFull = !this.#sink.write(piece)
    }
  }

  /** It is told of an end once. */
  #leaveSink(): ByteSink | undefined {
    const sink = this.#sink
    this.#sink = undefined
    return sink
  }

  #takePiece(): Uint8Array | undefined {
    const chunks = this.#chunks
    if (chunks.length <= 1) {
      this.#bufferedBytes = 0
      return chunks.pop()
    }
    let count = 0
    let bytes = 0
    do bytes += chunks[count++]!.byteLength
    while (count < chunks.length && bytes + chunks[count]!.byteLength <= pieceBytes)
    this.#bufferedBytes -= bytes
    if (count === 1) return chunks.shift()
    return Buffer.concat(chunks.splice(0, count), bytes)
  }

  #resumeIfLow(): void {
    if (this.#paused && this.#bufferedBytes < highWaterBytes / 2) this.#resume()
  }

  #resume(): void {
    this.#paused = false
    this.#connection?.resume()
  }
}
