/**
 * Reads HTTP/1.1 messages (RFC 9112) byte by byte as they came, for the scripted worker and the raw client.
 * It repairs nothing: header names keep their case and order, repeated headers stay repeated, and a message that is
 * cut or malformed ends with `complete: false` and the reason.
 */

export type RawHeader = readonly [name: string, value: string]

export interface Head {
  readonly startLine: string
  readonly headers: readonly RawHeader[]
}

export interface Ending {
  /** The message ended where its framing says it ends. */
  readonly complete: boolean
  /** Why it is not complete. */
  readonly fault?: string
}

export interface MessageHandlers {
  onHead(head: Head): void
  /** Payload after the framing is taken off. */
  onBody(piece: Buffer): void
  onEnd(ending: Ending): void
}

export interface ReaderOptions {
  readonly kind: 'request' | 'response'
  /** Of the request that a response answers: an answer to HEAD has no body whatever its headers say. */
  readonly method?: string
}

type State =
  | { readonly at: 'head' }
  | { readonly at: 'length'; left: number }
  | { readonly at: 'chunk-size' }
  | { readonly at: 'chunk'; left: number }
  | { readonly at: 'chunk-end' }
  | { readonly at: 'trailers' }
  | { readonly at: 'until-close' }
  | { readonly at: 'done' }

const statusLine = /^HTTP\/1\.[01] (\d{3})(?: |$)/

const none = Buffer.alloc(0)

/** The first value of a header, by name without regard to case. */
export function headerOf(headers: readonly RawHeader[], name: string): string | undefined {
  const wanted = name.toLowerCase()
  return headers.find(([key]) => key.toLowerCase() === wanted)?.[1]
}

export class MessageReader {
  #state: State = { at: 'head' }
  #buffer: Buffer = none
  readonly #handlers: MessageHandlers
  readonly #options: ReaderOptions

  constructor(options: ReaderOptions, handlers: MessageHandlers) {
    this.#options = options
    this.#handlers = handlers
  }

  get done(): boolean {
    return this.#state.at === 'done'
  }

  /** Bytes received and not used yet; after the end of the message they belong to the next one. */
  get rest(): Buffer {
    return this.#buffer
  }

  push(piece: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? piece : Buffer.concat([this.#buffer, piece])
    while (this.#step());
  }

  /** The peer will send nothing more. `reason` says how: a clean FIN ends a body without framing, a reset does not. */
  finish(reason: 'fin' | 'reset' | 'local'): void {
    if (this.done) return
    const clean = this.#state.at === 'until-close' && reason === 'fin'
    this.#end(clean ? { complete: true } : { complete: false, fault: `${reason} in ${this.#state.at}` })
  }

  #end(ending: Ending): false {
    this.#state = { at: 'done' }
    this.#handlers.onEnd(ending)
    return false
  }

  /** Takes one piece of the message off the buffer; false when it needs more bytes. */
  #step(): boolean {
    const state = this.#state
    switch (state.at) {
      case 'head':
        return this.#head()
      case 'length':
      case 'chunk':
        return this.#counted(state)
      case 'chunk-size':
        return this.#chunkSize()
      case 'chunk-end':
        return this.#chunkEnd()
      case 'trailers':
        return this.#trailer()
      case 'until-close':
        return this.#take(this.#buffer.length)
      case 'done':
        return false
    }
  }

  #take(length: number): boolean {
    if (length === 0) return false
    const piece = this.#buffer.subarray(0, length)
    this.#buffer = this.#buffer.subarray(length)
    this.#handlers.onBody(piece)
    return this.#buffer.length > 0
  }

  #line(): string | undefined {
    const end = this.#buffer.indexOf('\r\n')
    if (end < 0) return undefined
    const line = this.#buffer.toString('latin1', 0, end)
    this.#buffer = this.#buffer.subarray(end + 2)
    return line
  }

  #head(): boolean {
    const end = this.#buffer.indexOf('\r\n\r\n')
    if (end < 0) return false
    const head = parseHead(this.#buffer.toString('latin1', 0, end))
    this.#buffer = this.#buffer.subarray(end + 4)
    if (this.#options.kind === 'response' && !statusLine.test(head.startLine)) {
      const fault = `bad status line ${JSON.stringify(head.startLine.slice(0, 80))}`
      return this.#end({ complete: false, fault })
    }
    const framing = framingOf(head, this.#options)
    this.#handlers.onHead(head)
    if (framing === 'informational') return true
    if (typeof framing === 'string') return this.#end({ complete: false, fault: framing })
    this.#state = framing
    if (framing.at === 'length' && framing.left === 0) return this.#end({ complete: true })
    return true
  }

  #counted(state: { readonly at: 'length' | 'chunk'; left: number }): boolean {
    const length = Math.min(state.left, this.#buffer.length)
    state.left -= length
    const more = this.#take(length)
    if (state.left > 0) return more
    if (state.at === 'length') return this.#end({ complete: true })
    this.#state = { at: 'chunk-end' }
    return true
  }

  #chunkSize(): boolean {
    const line = this.#line()
    if (line === undefined) return false
    const size = /^([0-9a-fA-F]{1,8})[ \t]*(;.*)?$/.exec(line)?.[1]
    if (size === undefined)
      return this.#end({ complete: false, fault: `bad chunk size ${JSON.stringify(line)}` })
    const left = Number.parseInt(size, 16)
    this.#state = left === 0 ? { at: 'trailers' } : { at: 'chunk', left }
    return true
  }

  #chunkEnd(): boolean {
    if (this.#buffer.length < 2) return false
    if (this.#line() !== '') return this.#end({ complete: false, fault: 'chunk longer than its size' })
    this.#state = { at: 'chunk-size' }
    return true
  }

  #trailer(): boolean {
    const line = this.#line()
    if (line === '') return this.#end({ complete: true })
    return line !== undefined
  }
}

function parseHead(text: string): Head {
  const [startLine = '', ...lines] = text.split('\r\n')
  const headers = lines.map((line): RawHeader => {
    const colon = line.indexOf(':')
    return colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
  return { startLine, headers }
}

/** How the body ends (RFC 9112, 6.3), or a string that says why nobody can know. */
function framingOf(head: Head, options: ReaderOptions): State | string {
  const { kind, method } = options
  if (kind === 'response') {
    const status = Number(statusLine.exec(head.startLine)?.[1])
    if (status < 200 && status !== 101) return 'informational'
    if (method === 'HEAD' || status === 204 || status === 304) return { at: 'length', left: 0 }
  }
  const encoding = headerOf(head.headers, 'transfer-encoding')
  const length = headerOf(head.headers, 'content-length')
  if (encoding !== undefined && length !== undefined) return 'both Content-Length and Transfer-Encoding'
  if (encoding !== undefined) return { at: 'chunk-size' }
  if (length !== undefined) {
    return /^\d+$/.test(length) ? { at: 'length', left: Number(length) } : `bad Content-Length ${length}`
  }
  return kind === 'request' ? { at: 'length', left: 0 } : { at: 'until-close' }
}
