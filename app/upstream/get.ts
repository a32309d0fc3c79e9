import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import {
  type AnswerBody,
  type HeaderFields,
  type PendingAnswer,
  TransportError,
  transportError,
  type WorkerResponse,
} from './http-client.ts'

export interface GetRequest {
  /** http or https. */
  readonly url: string
  readonly headers: HeaderFields
  /** PEM of the only authorities that may vouch for an https server; undefined: those of the runtime. */
  readonly ca: string | undefined
}

export type Get = (request: GetRequest) => PendingAnswer

/**
 * One GET on a connection of its own, for what is asked rarely and must not trust a connection that may be long dead, and
 * for servers with an authority of their own: the HTTP clients for workers have neither.
 *
 * Over `node:http`, which on both runtimes streams, aborts and checks certificates alike (tests/app/upstream/get.test.ts).
 * There is no time limit in it: whoever asks sets one and calls `abort`.
 */
export function get({ url, headers, ca }: GetRequest): PendingAnswer {
  const request = (url.startsWith('https:') ? https : http).get(url, {
    agent: false,
    headers: Object.fromEntries(headers),
    ...(ca === undefined ? {} : { ca }),
  })
  const head = Promise.withResolvers<WorkerResponse>()
  let body: MessageBody | undefined
  request.once('response', (response) => {
    body = new MessageBody(response, abort)
    head.resolve({ status: response.statusCode ?? 0, headers: pairs(response.rawHeaders), body })
  })
  // Errors after the head come here too, and are told by the body.
  request.on('error', (error) => head.reject(transportError(error)))

  // Whoever waits is told right here: not every state of a connection has the runtime tell that it was destroyed.
  function abort(): void {
    const aborted = new TransportError('aborted', 'ABORTED')
    head.reject(aborted)
    body?.fail(aborted)
    request.destroy()
  }
  return { head: head.promise, abort }
}

class MessageBody implements AnswerBody {
  readonly #message: IncomingMessage
  readonly #chunks: AsyncIterator<Uint8Array>
  readonly cancel: () => void
  #failed: TransportError | undefined
  #reject: (error: TransportError) => void = () => {}

  constructor(message: IncomingMessage, cancel: () => void) {
    // A body that nobody reads must not bring down the process when its connection ends.
    message.on('error', () => {})
    this.#message = message
    this.#chunks = message[Symbol.asyncIterator]()
    this.cancel = cancel
  }

  read(): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#failed !== undefined) throw this.#failed
      this.#reject = reject
      this.#next().then(resolve, reject)
    })
  }

  async readAll(): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    for (let chunk = await this.read(); chunk !== undefined; chunk = await this.read()) chunks.push(chunk)
    return Buffer.concat(chunks)
  }

  fail(error: TransportError): void {
    this.#failed ??= error
    this.#reject(error)
  }

  async #next(): Promise<Uint8Array | undefined> {
    try {
      const { done, value } = await this.#chunks.next()
      if (!done) return value
    } catch (error) {
      throw transportError(error)
    }
    if (!this.#message.complete) throw new TransportError('reset', 'ECONNRESET')
    return undefined
  }
}

function pairs(raw: readonly string[]): HeaderFields {
  const list: [string, string][] = []
  for (let index = 0; index < raw.length; index += 2) list.push([raw[index] ?? '', raw[index + 1] ?? ''])
  return list
}
