import type { ClientCertificate } from './client-certificate.ts'
import { RouterError } from './errors.ts'
import type { HeldPart } from './held-bytes.ts'
import { BodyCollector, type RequestBody } from './request-body.ts'
import { defaultUploadSilenceMs, UploadSilence } from './upload-silence.ts'

/** What an upload may take beside the bytes of its own limit. */
export interface UploadBounds {
  /** Where the bytes are counted as they come. Default: nowhere. */
  readonly held?: HeldPart | undefined
  /** Milliseconds without a byte after which it is given up. Default 60 s. */
  readonly silenceMs?: number | undefined
}

/** The client's request, before anything was made of it. The runtime puts one into Hono's `c.env.incoming`. */
export interface Incoming {
  /** Header fields in the order received, names as the client spelled them or in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** One header by its lower-case name; `undefined` when absent. */
  header(name: string): string | undefined
  /**
   * The entire body, read once; empty when there is none.
   *
   * @param limit bytes; exactly so many are accepted.
   * @throws RouterError `payload_too_large` beyond the limit, `buffers_full` when there is no room for more,
   * `upload_timeout` when none come, `client_closed` when the upload breaks off.
   */
  body(limit: number, bounds?: UploadBounds): Promise<RequestBody>
  /** Aborts when the client's connection closes before the response has ended. */
  readonly signal: AbortSignal
  readonly remoteAddress: string | undefined
  /**
   * The certificate that the client has shown and an authority has vouched for. Undefined where clients need none, and
   * on Bun, which does not tell.
   */
  readonly clientCertificate?: ClientCertificate | undefined
}

/**
 * One header by its lower-case name, values of repeated fields joined as RFC 9110 5.2 has it. Over the list, which is
 * made anyway, this costs less than a look-up in the runtime's own headers.
 */
export function headerOf(headers: Incoming['headers'], name: string): string | undefined {
  let value: string | undefined
  for (const field of headers) {
    // The length tells most others apart without lower-casing each of them.
    if (field[0].length !== name.length || field[0].toLowerCase() !== name) continue
    value = value === undefined ? field[1] : `${value}, ${field[1]}`
  }
  return value
}

/** An `Incoming` over a plain web `Request`: for tests, and for any runtime without a faster one of its own. */
export function incomingFromRequest(request: Request): Incoming {
  return new RequestIncoming(request)
}

class RequestIncoming implements Incoming {
  readonly remoteAddress = undefined
  readonly #request: Request
  #headers: readonly (readonly [string, string])[] | undefined
  #body: Promise<RequestBody> | undefined

  constructor(request: Request) {
    this.#request = request
  }

  get headers(): readonly (readonly [string, string])[] {
    this.#headers ??= [...this.#request.headers.entries()]
    return this.#headers
  }

  get signal(): AbortSignal {
    return this.#request.signal
  }

  header(name: string): string | undefined {
    return this.#request.headers.get(name) ?? undefined
  }

  body(limit: number, bounds?: UploadBounds): Promise<RequestBody> {
    this.#body ??= readAll(this.#request.body, limit, bounds)
    return this.#body
  }
}

async function readAll(
  stream: ReadableStream<Uint8Array> | null,
  limit: number,
  { held, silenceMs = defaultUploadSilenceMs }: UploadBounds = {},
): Promise<RequestBody> {
  const collector = new BodyCollector(limit, { held })
  const reader = stream?.getReader()
  const silence = new UploadSilence(silenceMs, () => void reader?.cancel().catch(() => {}))
  try {
    for (let chunk = await reader?.read(); chunk?.done === false; chunk = await reader?.read()) {
      silence.heard()
      collector.add(chunk.value)
    }
    if (silence.error !== undefined) throw silence.error
  } catch (error) {
    // The rest of the upload is not read.
    reader?.cancel().catch(() => {})
    if (error instanceof RouterError) throw error
    throw new RouterError('client_closed', 'The client went away before its request was complete.', {
      cause: error,
    })
  } finally {
    silence.end()
  }
  return collector.body()
}
