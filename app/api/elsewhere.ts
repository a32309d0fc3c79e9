import type { Call } from '../relay/call.ts'
import type { Answer } from '../relay/exchange.ts'
import { firstHeader } from '../relay/headers.ts'
import type { HeaderFields } from '../upstream/http-client.ts'
import type { ModelDirectory } from '../workers/model-directory.ts'
import { wantsKey } from '../workers/model-list.ts'

export interface Asked {
  readonly directory: ModelDirectory
  /** What went to the worker. */
  readonly headers: HeaderFields
  /** The router's own key for workers. */
  readonly workerKey: string | undefined
  readonly model: string | undefined
  /** It is about a stored response, and nobody knows who has it. */
  readonly seeksResponse: boolean
}

/**
 * Reads what a worker does not have out of its answers: another may have it. What it tells of the worker is noted.
 * Those that do not have it either are returned with it; undefined where the answer is for the client.
 */
export function elsewhere(asked: Asked): NonNullable<Call['elsewhere']> {
  const { directory, headers, workerKey, model, seeksResponse } = asked
  return function isElsewhere(answer, worker) {
    if (wantsKey(answer.status)) {
      // The client cannot help it; a key of its own is its own affair.
      const ours = workerKey !== undefined && firstHeader(headers, 'authorization') === `Bearer ${workerKey}`
      if (ours) directory.refusedKey(worker, answer.status)
      return ours ? [worker] : undefined
    }
    if (answer.status === 400 && model !== undefined && saysTooLong(answer.body))
      return directory.noLonger(worker, model)
    if (answer.status !== 404) return undefined
    if (seeksResponse) return [worker]
    if (model === undefined || !saysNoModel(answer)) return undefined
    directory.missing(worker, model)
    return [worker]
  }
}

/** Bytes of the longest answer that is looked into. */
const maxBytes = 16 * 1024

/** vLLM's own 404, which is about a model unless it names another field. That of a missing route has no `error`. */
export function saysNoModel({ status, body }: Answer): boolean {
  if (status !== 404 || !(body instanceof Uint8Array) || body.byteLength > maxBytes) return false
  try {
    const answer = JSON.parse(Buffer.from(body).toString()) as Record<string, unknown> | null
    // Before version 0.10 the fields stood at the top.
    const error = answer?.object === 'error' ? answer : answer?.error
    if (typeof error !== 'object' || error === null) return false
    const { param } = error as { param?: unknown }
    return param === undefined || param === null || param === 'model'
  } catch {
    return false
  }
}

/** What the web framework of vLLM answers where a route is not there: no client of the API can read it. */
const noRoute = Buffer.from('{"detail":"Not Found"}')

export function saysNoRoute({ status, body }: Answer): boolean {
  return status === 404 && body instanceof Uint8Array && noRoute.equals(body)
}

/** vLLM's words through its versions, and OpenAI's code. */
const tooLong =
  /maximum context length|context_length_exceeded|longer than the maximum model length|max_model_len/

export function saysTooLong(body: Answer['body']): boolean {
  if (!(body instanceof Uint8Array) || body.byteLength > maxBytes) return false
  return tooLong.test(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString())
}
