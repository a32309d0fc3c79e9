import {
  type AnswerBody,
  type HeaderFields,
  type HttpClient,
  type HttpClientOptions,
  type IncomingAnswer,
  type OutgoingRequest,
  type PendingAnswer,
  TransportError,
  transportError,
} from './http-client.ts'
import { reachable } from './reachable.ts'

/**
 * HTTP client of Bun: its native `fetch`. `timeout: false` takes away its limit of five minutes of silence,
 * `decompress: false` keeps the worker's bytes as they are.
 *
 * Its limit of 256 requests in flight is lifted by the environment before the process starts: see app/runtime/bun.ts.
 */
export function bunClient(options: HttpClientOptions): HttpClient {
  /** Origins that have answered: only to those can there be a connection that has served before. */
  const answered = new Set<string>()
  const running = new Set<Exchange>()

  return {
    send(request) {
      const exchange = new Exchange(request, options, answered)
      running.add(exchange)
      exchange.head.catch(() => {}).finally(() => running.delete(exchange))
      return exchange
    },
    async close() {
      for (const exchange of running) exchange.abort()
    },
  }
}

class Exchange implements PendingAnswer {
  readonly head: Promise<IncomingAnswer>
  readonly #abort = new AbortController()

  constructor(request: OutgoingRequest, options: HttpClientOptions, answered: Set<string>) {
    this.head = this.#send(request, options, answered)
  }

  abort(): void {
    this.#abort.abort()
  }

  async #send(
    request: OutgoingRequest,
    options: HttpClientOptions,
    answered: Set<string>,
  ): Promise<IncomingAnswer> {
    const watch = this.#watchConnect(request.origin, options.connectTimeoutMs)
    try {
      const response = await fetch(request.origin + request.path, {
        method: request.method,
        headers: request.headers as [string, string][],
        body: request.body ?? null,
        signal: this.#abort.signal,
        redirect: 'manual',
        keepalive: !request.fresh,
        decompress: false,
        timeout: false,
      } as RequestInit)
      const headers = fields(response.headers, options.maxHeadBytes)
      answered.add(request.origin)
      return { status: response.status, headers, body: new BodyReader(response, this.#abort) }
    } catch (error) {
      const reason: unknown = this.#abort.signal.aborted ? this.#abort.signal.reason : error
      throw transportError(reason, { reused: answered.has(request.origin) })
    } finally {
      watch()
    }
  }

  /**
   * Bun's fetch neither says when it is connected nor has a connect timeout. So a request that has no head after that
   * time makes a connection beside it: where none comes about, the request is not getting through either.
   */
  #watchConnect(origin: string, connectTimeoutMs: number): () => void {
    const timer = setTimeout(async () => {
      if (!(await reachable(origin, connectTimeoutMs))) {
        this.#abort.abort(new TransportError('unreachable', 'CONNECT_TIMEOUT'))
      }
    }, connectTimeoutMs)
    return () => clearTimeout(timer)
  }
}

class BodyReader implements AnswerBody {
  readonly #response: Response
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined
  readonly #abort: AbortController

  constructor(response: Response, abort: AbortController) {
    this.#response = response
    this.#abort = abort
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.#response.body === null) return undefined
    if (this.#abort.signal.aborted) throw new TransportError('aborted', 'ABORTED')
    this.#reader ??= this.#response.body.getReader() as ReadableStreamDefaultReader<Uint8Array>
    try {
      const { done, value } = await this.#reader.read()
      return done ? undefined : value
    } catch (error) {
      throw this.#explain(error)
    }
  }

  async readAll(): Promise<Uint8Array> {
    try {
      return new Uint8Array(await this.#response.arrayBuffer())
    } catch (error) {
      throw this.#explain(error)
    }
  }

  #explain(error: unknown): TransportError {
    return this.#abort.signal.aborted ? new TransportError('aborted', 'ABORTED') : transportError(error)
  }

  cancel(): void {
    this.#abort.abort()
  }
}

function fields(headers: Headers, maxBytes: number): HeaderFields {
  const list: [string, string][] = []
  let bytes = 0
  for (const [name, value] of headers) {
    bytes += name.length + value.length + 4
    list.push([name, value])
  }
  if (bytes > maxBytes) throw new TransportError('protocol', 'HEADERS_TOO_LARGE')
  // Two ways to say where the body ends: "ought to be handled as an error" (RFC 9112, section 6.3), as Node does. Bun
  // believes the encoding and hands on both.
  if (headers.has('transfer-encoding') && headers.has('content-length')) {
    throw new TransportError('protocol', 'TWO_LENGTHS')
  }
  return list
}
