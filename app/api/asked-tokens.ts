import { choicesIn } from '../../http/choices.ts'
import { isObject, type JsonObject } from '../../http/json/json.ts'
import type { RequestBody } from '../../http/request-body.ts'
import type { Amounts } from '../../policies/limits/limits-store.ts'
import type { TokenEstimates } from '../../policies/limits/token-estimates.ts'

/** Routes that write tokens. */
const writing: ReadonlySet<string> = new Set([
  ...['/v1/chat/completions', '/v1/completions', '/v1/responses', '/v1/messages'],
  ...['/v1/chat/completions/batch', '/inference/v1/generate', '/cohere/v2/chat', '/generate', '/invocations'],
])

/** Routes that only read them. */
const reading: ReadonlySet<string> = new Set([
  ...['/v1/embeddings', '/v2/embed', '/pooling', '/classify', '/generative_scoring'],
  ...['/score', '/v1/score', '/rerank', '/v1/rerank', '/v2/rerank'],
])

export interface AskedRequest {
  readonly path: string
  readonly payload: JsonObject | undefined
  readonly body: RequestBody | undefined
}

const oneRequest: Amounts = [1, 0, 0]

/** What a request is taken for before a worker has counted it. On all other routes only what is counted counts. */
export function askedAmounts({ path, payload, body }: AskedRequest, estimates: TokenEstimates): Amounts {
  if (payload === undefined || body === undefined) return oneRequest
  const writes = writing.has(path)
  if (!writes && !reading.has(path)) return oneRequest
  const model = askedModel(payload)
  const prompt = estimates.prompt(model, body.byteLength)
  if (!writes) return [1, prompt, 0]
  const most = mostTokens(payload)
  return [1, prompt, most === undefined ? estimates.completion(model) : most * choicesIn(payload)]
}

export function askedModel(payload: JsonObject | undefined): string | undefined {
  return typeof payload?.model === 'string' ? payload.model : undefined
}

/** How long an answer may be, as each API says it. */
function mostTokens(payload: JsonObject): number | undefined {
  const { sampling_params: sampling } = payload
  const said =
    payload.max_completion_tokens ??
    payload.max_tokens ??
    payload.max_output_tokens ??
    (isObject(sampling) ? sampling.max_tokens : undefined)
  return typeof said === 'number' && said >= 0 ? Math.round(said) : undefined
}
