import { RequestBody } from '../../http/request-body.ts'
import type { Clock } from '../runtime/clock.ts'
import {
  type ByteReader,
  type HeaderFields,
  type HttpClient,
  TransportError,
} from '../upstream/http-client.ts'
import type { UnhealthyCause, Worker } from './worker.ts'

export interface AskOptions {
  readonly client: HttpClient
  readonly clock: Clock
  readonly timeoutMs: number
  readonly headers: HeaderFields
  /** Sent as JSON by POST. */
  readonly body?: object
}

export type AskResult =
  | { readonly status: number; readonly body: string; readonly headers: HeaderFields }
  | { readonly failed: { readonly reason: string; readonly cause: UnhealthyCause | 'exhausted' } }

/** One question to a worker beside the requests of clients: never throws, ends in time, and reads no endless answer. */
export async function ask(
  worker: Pick<Worker, 'origin' | 'pathPrefix'>,
  path: string,
  { client, clock, timeoutMs, headers, body: json }: AskOptions,
): Promise<AskResult> {
  const { origin, pathPrefix } = worker
  const target = { origin, path: pathPrefix + path }
  const pending = client.send(
    json === undefined
      ? { ...target, method: 'GET', headers, body: undefined }
      : { ...target, method: 'POST', headers: [...headers, jsonType], body: bodyOf(json) },
  )
  let timedOut = false
  const cancelTimer = clock.after(timeoutMs, () => {
    timedOut = true
    pending.abort()
  })
  try {
    const { status, headers: fields, body } = await pending.head
    return { status, headers: fields, body: await readText(body) }
  } catch (error) {
    if (timedOut) return { failed: { reason: `no answer within ${timeoutMs / 1000} s`, cause: 'silent' } }
    const fault = error instanceof TransportError ? error : undefined
    return { failed: { reason: fault?.code ?? String(error), cause: causeOf(fault) } }
  } finally {
    cancelTimer()
  }
}

const jsonType = ['content-type', 'application/json'] as const

function bodyOf(json: object): RequestBody {
  return new RequestBody([Buffer.from(JSON.stringify(json))])
}

function causeOf(error: TransportError | undefined): UnhealthyCause | 'exhausted' {
  if (error?.fault === 'exhausted') return 'exhausted'
  return error?.fault === 'unreachable' ? 'refused' : 'silent'
}

const maxAnswerBytes = 4 * 1024 * 1024

async function readText(body: ByteReader): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) {
    bytes += chunk.byteLength
    if (bytes > maxAnswerBytes) {
      body.cancel()
      break
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
