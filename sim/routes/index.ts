/** Every path of the simulated server. */
import type { Answer } from '../answer.ts'
import type { Call, SimContext } from '../call.ts'
import { audio } from './audio.ts'
import { chat } from './chat.ts'
import { completions } from './completions.ts'
import { control } from './control.ts'
import { embeddings } from './embeddings.ts'
import { generate, invocations } from './generate.ts'
import { countTokens, messages } from './messages.ts'
import { cancelResponse, getResponse, responses } from './responses.ts'
import { classify, pooling, rerank, score } from './scoring.ts'
import { service } from './service.ts'
import { detokenize, tokenize } from './tokens.ts'

export type Handler = (sim: SimContext, call: Call) => Answer

export interface Route {
  /** False for probes, metrics, listings and control: no faults without a path, not counted in `stats()`. */
  isModelApi: boolean
  methods: Record<string, Handler>
}

const modelApi: Record<string, Handler> = {
  '/v1/chat/completions': chat,
  '/v1/completions': completions,
  '/v1/embeddings': embeddings,
  '/v1/responses': responses,
  '/v1/messages': messages,
  '/v1/messages/count_tokens': countTokens,
  '/v1/rerank': rerank,
  '/v2/rerank': rerank,
  '/rerank': rerank,
  '/v1/score': score,
  '/score': score,
  '/classify': classify,
  '/pooling': pooling,
  '/tokenize': tokenize,
  '/detokenize': detokenize,
  '/v1/audio/transcriptions': audio,
  '/v1/audio/translations': audio,
  '/generate': generate,
  '/invocations': invocations,
}

const routes = new Map<string, Route>()
for (const [path, handler] of Object.entries(modelApi)) {
  routes.set(path, { isModelApi: true, methods: { POST: handler } })
}
for (const [path, methods] of Object.entries({ ...service, ...control })) {
  routes.set(path, { isModelApi: false, methods })
}

const storedResponse: Route = { isModelApi: true, methods: { GET: getResponse } }
const cancelledResponse: Route = { isModelApi: true, methods: { POST: cancelResponse } }

export function findRoute(path: string): Route | undefined {
  const exact = routes.get(path)
  if (exact) return exact
  if (/^\/v1\/responses\/[^/]+$/.test(path)) return storedResponse
  if (/^\/v1\/responses\/[^/]+\/cancel$/.test(path)) return cancelledResponse
  return undefined
}
