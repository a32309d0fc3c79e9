import type { HeaderFields } from './http-client.ts'
import { fault, ResponseFields } from './response-fields.ts'

/** Told what a response consists of, in order. */
export interface ResponseParts {
  onHead(status: number, headers: HeaderFields): void
  /** A piece of the body; a view into the bytes that were pushed, and lent as these are. */
  onData(bytes: Uint8Array): void
  onEnd(): void
}

export interface ResponseParserOptions {
  readonly parts: ResponseParts
  /** Of the request: an answer to HEAD has no body. */
  readonly method: string
  /** Bytes of the head with all interim ones before it, of a chunk's size line, and of the trailers. */
  readonly maxHeadBytes: number
}

type State =
  | 'head'
  | 'length'
  | 'until_close'
  | 'chunk_size'
  | 'chunk_data'
  | 'chunk_end'
  | 'trailers'
  | 'done'

const CR = 13
const LF = 10
const noBytes = Buffer.alloc(0)
const statusLine = /^HTTP\/1\.([01]) (\d{3})(?: [^\r\n\0]*)?$/
/** Longest size that is read without a string. */
const plainDigits = 8
const chunkSize = /^([0-9a-fA-F]{1,13})[ \t]*(?:;.*)?$/

/**
 * Takes one HTTP/1.1 response apart as its bytes arrive (RFC 9112). It is strict where two readers could disagree on
 * where the response ends: a worker that sends such a thing is broken, and the request goes to another.
 *
 * @throws TransportError `protocol`, from `push`
 */
export class ResponseParser {
  readonly #parts: ResponseParts
  readonly #method: string
  readonly #maxHeadBytes: number
  #state: State = 'head'
  /** Bytes of an incomplete head or line. */
  #pending: Buffer = noBytes
  /** Bytes left of the body, or of the chunk. */
  #left = 0
  #interimBytes = 0
  #trailerBytes = 0
  #keepAlive = false

  constructor({ parts, method, maxHeadBytes }: ResponseParserOptions) {
    this.#parts = parts
    this.#method = method
    this.#maxHeadBytes = maxHeadBytes
  }

  /** A head that is no interim one has come. */
  get begun(): boolean {
    return this.#state !== 'head'
  }

  /** The response is complete. */
  get done(): boolean {
    return this.#state === 'done'
  }

  /** The connection may serve another request once this response is done. */
  get keepAlive(): boolean {
    return this.#keepAlive
  }

  /** @param chunk lent for the time of the call */
  push(chunk: Buffer): void {
    let bytes = chunk
    while (bytes.length > 0) {
      if (this.#state === 'done') throw fault('BYTES_BEHIND_THE_END')
      bytes = this.#step(bytes)
    }
  }

  /** The connection has ended: true when that is the proper end of the response. */
  finish(): boolean {
    if (this.#state !== 'until_close') return this.done
    this.#end()
    return true
  }

  /** Takes what it can from the beginning of `bytes`; returns the rest. */
  #step(bytes: Buffer): Buffer {
    switch (this.#state) {
      case 'head':
        return this.#takeHead(bytes)
      case 'length':
        return this.#takeBody(bytes, () => this.#end())
      case 'until_close':
        this.#parts.onData(bytes)
        return noBytes
      case 'chunk_size':
        return this.#takePlainSize(bytes) ?? this.#takeLine(bytes, (line) => this.#readChunkSize(line))
      case 'chunk_data':
        return this.#takeBody(bytes, () => {
          this.#state = 'chunk_end'
        })
      case 'chunk_end':
        if (this.#pending.length === 0 && bytes[0] === CR && bytes[1] === LF) {
          this.#state = 'chunk_size'
          return bytes.subarray(2)
        }
        return this.#takeLine(bytes, (line) => {
          if (line !== '') throw fault('CHUNK_TOO_LONG')
          this.#state = 'chunk_size'
        })
      default:
        return this.#takeLine(bytes, (line) => this.#passTrailer(line))
    }
  }

  #takeBody(bytes: Buffer, onEnd: () => void): Buffer {
    const taken = bytes.length <= this.#left ? bytes : bytes.subarray(0, this.#left)
    this.#left -= taken.length
    this.#parts.onData(taken)
    if (this.#left === 0) onEnd()
    return bytes.length === taken.length ? noBytes : bytes.subarray(taken.length)
  }

  #takeHead(chunk: Buffer): Buffer {
    const bytes = this.#join(chunk)
    const end = bytes.indexOf('\r\n\r\n')
    if (end === -1 || end > this.#maxHeadBytes - this.#interimBytes) {
      if (bytes.length > this.#maxHeadBytes - this.#interimBytes) throw fault('HEADERS_TOO_LARGE')
      refuseWhatIsNoHead(bytes)
      this.#pending = Buffer.from(bytes)
      return noBytes
    }
    this.#beginResponse(bytes.toString('latin1', 0, end), end)
    return bytes.subarray(end + 4)
  }

  #takeLine(chunk: Buffer, onLine: (line: string) => void): Buffer {
    const bytes = this.#join(chunk)
    const end = bytes.indexOf(LF)
    if (end === -1) {
      if (bytes.length > this.#maxHeadBytes) throw fault('LINE_TOO_LONG')
      this.#pending = Buffer.from(bytes)
      return noBytes
    }
    if (end === 0 || bytes[end - 1] !== CR) throw fault('BARE_LINE_FEED')
    onLine(bytes.toString('latin1', 0, end - 1))
    return bytes.subarray(end + 1)
  }

  #join(chunk: Buffer): Buffer {
    if (this.#pending.length === 0) return chunk
    const bytes = Buffer.concat([this.#pending, chunk])
    this.#pending = noBytes
    return bytes
  }

  #beginResponse(head: string, length: number): void {
    const lineEnd = head.indexOf('\r\n')
    const line = statusLine.exec(lineEnd === -1 ? head : head.slice(0, lineEnd))
    if (line === null) throw fault('BAD_STATUS_LINE')
    const status = Number(line[2])
    const fields = new ResponseFields(head, lineEnd)
    if (status < 200) {
      // Nobody asked for another protocol; every other interim response may be passed over (RFC 9110, section 15.2).
      if (status < 100 || status === 101) throw fault('BAD_STATUS')
      this.#interimBytes += length + 4
      return
    }
    this.#keepAlive = line[1] === '1' ? !fields.close : fields.keepAlive
    this.#parts.onHead(status, fields.list)
    this.#beginBody(status, fields)
  }

  /** RFC 9112, section 6.3. */
  #beginBody(status: number, { chunked, length }: ResponseFields): void {
    if (this.#method === 'HEAD' || status === 204 || status === 304) {
      // A server that announces a body with a 204 may send one, too, into the next answer.
      if (status === 204 && (chunked || length)) this.#keepAlive = false
      this.#end()
    } else if (chunked) {
      this.#state = 'chunk_size'
    } else if (length === undefined) {
      this.#keepAlive = false
      this.#state = 'until_close'
    } else if (length === 0) {
      this.#end()
    } else {
      this.#left = length
      this.#state = 'length'
    }
  }

  /**
   * A size as servers write it, digits and a line end that have come together, read without a string: once for each
   * token. Where the chunk has come too, it is taken with it. undefined for anything else.
   */
  #takePlainSize(bytes: Buffer): Buffer | undefined {
    if (this.#pending.length > 0) return undefined
    let size = 0
    for (let at = 0; at <= plainDigits; at++) {
      const byte = bytes[at]
      if (byte === CR && at > 0 && bytes[at + 1] === LF) {
        const whole = this.#takeWholeChunk(bytes, at + 2, size)
        if (whole !== undefined) return whole
        this.#beginChunk(size)
        return bytes.subarray(at + 2)
      }
      const digit = byte === undefined ? -1 : hexDigit(byte)
      if (digit === -1) return undefined
      size = size * 16 + digit
    }
    return undefined
  }

  /** A chunk that has come with its line end: one view of it, and no other. */
  #takeWholeChunk(bytes: Buffer, start: number, size: number): Buffer | undefined {
    const end = start + size
    if (size === 0 || bytes[end] !== CR || bytes[end + 1] !== LF) return undefined
    this.#parts.onData(bytes.subarray(start, end))
    return end + 2 === bytes.length ? noBytes : bytes.subarray(end + 2)
  }

  #readChunkSize(line: string): void {
    const size = chunkSize.exec(line)?.[1]
    if (size === undefined) throw fault('BAD_CHUNK_SIZE')
    this.#beginChunk(Number.parseInt(size, 16))
  }

  #beginChunk(size: number): void {
    this.#left = size
    this.#state = size === 0 ? 'trailers' : 'chunk_data'
  }

  /** Nobody wants them (RFC 9110, section 6.5.1), but they must end. */
  #passTrailer(line: string): void {
    this.#trailerBytes += line.length + 2
    if (line === '') this.#end()
    else if (this.#trailerBytes > this.#maxHeadBytes) throw fault('TRAILERS_TOO_LARGE')
  }

  #end(): void {
    this.#state = 'done'
    this.#parts.onEnd()
  }
}

const firstBytes = Buffer.from('HTTP/1.')

/** Of a peer that speaks something else, the rest of a head may never come: its first bytes are enough. */
function refuseWhatIsNoHead(bytes: Buffer): void {
  const known = Math.min(bytes.length, firstBytes.length)
  if (firstBytes.compare(bytes, 0, known, 0, known) !== 0) throw fault('BAD_STATUS_LINE')
  const first = bytes.indexOf(LF)
  for (let lf = first; lf !== -1; lf = bytes.indexOf(LF, lf + 1)) {
    if (bytes[lf - 1] !== CR) throw fault(lf === first ? 'BAD_STATUS_LINE' : 'BAD_HEADER')
  }
}

/** -1 for what is none. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
