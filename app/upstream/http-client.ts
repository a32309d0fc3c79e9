import type { RequestBody } from '../../http/request-body.ts'

/** Header fields in order; names in any case; a name may repeat. */
export type HeaderFields = readonly (readonly [name: string, value: string])[]

/** What a field may be called: a token (RFC 9110, section 5.6.2). */
export const fieldName = /^[!#$%&'*+.^_`|~\w-]+$/

/** Bytes that are pulled one chunk at a time: what is not asked for stays in the sender's socket. */
export interface ByteReader {
  /** The next chunk; undefined after the last. Rejects with a TransportError when the stream breaks. */
  read(): Promise<Uint8Array | undefined>
  /** Nobody wants the rest: closes the connection beneath at once. A read under way rejects. Safe to repeat. */
  cancel(): void
}

/**
 * Takes bytes that are pushed. None of its methods throws: a fault of whoever takes the bytes is no fault of their source.
 * After `end` or `fail` nothing follows.
 */
export interface ByteSink {
  /**
   * The bytes are lent for the time of the call: whoever keeps them copies them.
   *
   * @returns false: it has enough for now, and calls `resume` of the source when it takes more
   */
  write(bytes: Uint8Array): boolean
  /** All has come. May be told while the sink has enough, too. */
  end(): void
  /** The rest will never come. May be told while the sink has enough, too. */
  fail(error: unknown): void
}

/** Bytes that are pushed to whoever takes them, in the same call in which they arrive. */
export interface ByteSource {
  /** Pushes what has come so far, and from now on what comes, perhaps within this call. Called once. */
  flow(sink: ByteSink): void
  /** The sink takes bytes again. What has come in the meantime is pushed within this call. */
  resume(): void
  /** Nobody wants the rest: closes the connection beneath at once. The sink hears nothing more. Safe to repeat. */
  cancel(): void
}

/** The body of an answer. */
export interface AnswerBody extends ByteReader {
  /** All of it, instead of `read`, for a body that is known to be short. */
  readAll(): Promise<Uint8Array>
}

/** The body of an answer that is relayed: pulled as long as nothing is committed, pushed from then on. */
export interface RelayedBody extends AnswerBody, ByteSource {}

export interface OutgoingRequest {
  /** Scheme, host and port. */
  readonly origin: string
  /** Path and query string. */
  readonly path: string
  readonly method: string
  readonly headers: HeaderFields
  readonly body: RequestBody | undefined
  /** Never use an idle connection: an idle one may have been closed by the peer a moment ago. */
  readonly fresh?: boolean
}

export interface WorkerResponse<Body extends AnswerBody = AnswerBody> {
  readonly status: number
  readonly headers: HeaderFields
  readonly body: Body
}

export interface PendingAnswer<Body extends AnswerBody = AnswerBody> {
  /** Settles when the head is complete; rejects with a TransportError. */
  readonly head: Promise<WorkerResponse<Body>>
  /** Closes the connection at once, whatever has arrived. */
  abort(): void
}

/** HTTP/1.1 to workers: no redirects, no decoding, no hidden time limits, no limit on requests in flight. */
export interface HttpClient {
  send(request: OutgoingRequest): PendingAnswer<RelayedBody>
  /** All that are open. */
  readonly connections: number
  /** Those of them that wait for a request. */
  readonly idleConnections: number
  /**
   * What new connections to an origin use in place of `HttpClientOptions.tls`; undefined takes it back. Connections that
   * were opened with something else are closed: idle ones at once, others when their request is over.
   *
   * @param origin undefined: all for which nothing else was said
   */
  setTls(origin: string | undefined, tls: TlsFiles | undefined): void
  /** Drops every connection. */
  close(): Promise<void>
}

/** PEM texts for connections to workers over TLS, and the name that is expected there. */
export interface TlsFiles {
  /** Authorities that are trusted; default: those that the runtime knows. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  /** Asked for (SNI), and to be in the certificate; default: the host of the URL. */
  readonly serverName?: string
  /** Whoever answers is believed. Only for a listener of this very process or its children. */
  readonly unchecked?: boolean
}

export interface HttpClientOptions {
  readonly tls?: TlsFiles | undefined
  /** Milliseconds to open a TCP or TLS connection. */
  readonly connectTimeoutMs: number
  /** Milliseconds after which an idle connection is dropped; below the 5 s after which uvicorn closes it. */
  readonly idleSocketMs: number
  /** Largest response head in bytes. */
  readonly maxHeadBytes: number
  /**
   * Head and body go out in one system call, even where the body is no larger than a slice. Default false. A reset between
   * two calls loses an answer that has arrived already, and Node is much slower than Bun from one to the next. Bun joins
   * what is corked: that costs a third more for a prompt of 220 KB.
   */
  readonly corked?: boolean
}

/**
 * - `unsendable`: the head of the request cannot be written; nothing was sent.
 * - `unreachable`: no connection could be opened; nobody has seen the request.
 * - `reset`: the connection ended before the response did.
 * - `protocol`: what arrived is not HTTP.
 * - `exhausted`: this process has no file descriptor left for a connection; no worker can help that.
 * - `aborted`: we ended it ourselves.
 */
export type TransportFault = 'unsendable' | 'unreachable' | 'reset' | 'protocol' | 'exhausted' | 'aborted'

export class TransportError extends Error {
  override readonly name = 'TransportError'
  readonly fault: TransportFault
  /** The system's code, for example ECONNREFUSED; for the log. */
  readonly code: string
  /** The connection had served before and may have been closed by the peer while idle. */
  readonly reused: boolean

  constructor(fault: TransportFault, code: string, options: { reused?: boolean; cause?: unknown } = {}) {
    super(`${fault}: ${code}`, options.cause === undefined ? undefined : { cause: options.cause })
    this.fault = fault
    this.code = code
    this.reused = options.reused ?? false
  }
}

const unreachable = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EADDRNOTAVAIL',
])

const broken = new Set(['ECONNRESET', 'ECONNABORTED', 'EPIPE'])

/** What an error of the runtime means; one that is a TransportError already stays as it is. */
export function transportError(error: unknown): TransportError {
  if (error instanceof TransportError) return error
  const code = codeOf(error) ?? nameOf(error)
  return new TransportError(faultOf(code), code, { cause: error })
}

function faultOf(code: string): TransportFault {
  if (unreachable.has(code) || /^ERR_TLS|^UNABLE_TO_|CERT/.test(code)) return 'unreachable'
  return broken.has(code) ? 'reset' : 'protocol'
}

function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown'
}
