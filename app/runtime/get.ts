import http, { type ClientRequest, type IncomingMessage } from 'node:http'
import https from 'node:https'
import {
  type AnswerBody,
  type HeaderFields,
  type IncomingAnswer,
  type PendingAnswer,
  TransportError,
  transportError,
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
 * Over `node:http`, which on both runtimes streams, aborts and checks certificates alike (tests/discovery-get.test.ts).
 * There is no time limit in it: whoever asks sets one and calls `abort`.
 */
export function get({ url, headers, ca }: GetRequest): PendingAnswer {
  const client = url.startsWith('https:') ? https : http
  let aborted = false
  const request = client.get(url, {
    agent: false,
    headers: Object.fromEntries(headers),
    ...(ca === undefined ? {} : { ca }),
  })
  function abort(): void {
    aborted = true
    request.destroy()
  }
  const explain = (error: unknown) =>
    aborted ? new TransportError('aborted', 'ABORTED') : transportError(error)
  return { head: answer(request, explain, abort), abort }
}

function answer(
  request: ClientRequest,
  explain: (error: unknown) => TransportError,
  abort: () => void,
): Promise<IncomingAnswer> {
  return new Promise((resolve, reject) => {
    // Errors after the head come here too, and are told by the body.
    request.on('error', (error) => reject(explain(error)))
    request.once('response', (response) =>
      resolve({
        status: response.statusCode ?? 0,
        headers: pairs(response.rawHeaders),
        body: new MessageBody(response, explain, abort),
      }),
    )
  })
}

class MessageBody implements AnswerBody {
  readonly #message: IncomingMessage
  readonly #chunks: AsyncIterator<Uint8Array>
  readonly #explain: (error: unknown) => TransportError
  readonly cancel: () => void

  constructor(message: IncomingMessage, explain: (error: unknown) => TransportError, cancel: () => void) {
    this.#message = message
    this.#chunks = message[Symbol.asyncIterator]()
    this.#explain = explain
    this.cancel = cancel
  }

  async read(): Promise<Uint8Array | undefined> {
    try {
      const { done, value } = await this.#chunks.next()
      if (!done) return value
    } catch (error) {
      throw this.#explain(error)
    }
    if (!this.#message.complete) throw this.#explain(new TransportError('reset', 'ECONNRESET'))
    return undefined
  }

  async readAll(): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    for (let chunk = await this.read(); chunk !== undefined; chunk = await this.read()) chunks.push(chunk)
    return Buffer.concat(chunks)
  }
}

function pairs(raw: readonly string[]): HeaderFields {
  const list: [string, string][] = []
  for (let index = 0; index < raw.length; index += 2) list.push([raw[index] ?? '', raw[index + 1] ?? ''])
  return list
}
