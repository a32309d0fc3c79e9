import type { Attributes, AttributeValue } from '@opentelemetry/api'
import type { RequestRecord } from '../../request/request-record.ts'
import type { TracedAttempt } from './traces.ts'

/**
 * Names of OpenTelemetry's semantic conventions (HTTP, and those of generative AI, which are not final), and own ones
 * where it has none. No prompts, no answers, no keys, no queries of URLs.
 */

/** Methods that the conventions know; others would be the client's own words. */
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE'])

/** Characters: paths that are none of the known routes are the client's own words. */
const longestPath = 200

const operations: Readonly<Record<string, string>> = {
  '/v1/chat/completions': 'chat',
  '/v1/messages': 'chat',
  '/v1/responses': 'chat',
  '/v1/completions': 'text_completion',
  '/v1/embeddings': 'embeddings',
}

/** `POST /v1/chat/completions`; of a path that is none of the known routes, the method alone. */
export function spanName({ method, route }: RequestRecord): string {
  const verb = methods.has(method) ? method : 'HTTP'
  return route === 'other' ? verb : `${verb} ${route}`
}

interface RequestFacts {
  readonly errorType: string | undefined
  readonly scheme: 'http' | 'https'
}

export function requestAttributes(record: RequestRecord, { errorType, scheme }: RequestFacts): Attributes {
  const { method, route, path, model, usage } = record
  const attributes: Attributes = {
    'http.request.method': methods.has(method) ? method : '_OTHER',
    'url.scheme': scheme,
    'url.path': path.slice(0, longestPath),
    'http.response.status_code': record.status,
    'vllm_router.request_id': record.requestId,
    'vllm_router.attempts': record.attempts,
    'vllm_router.end_reason': record.endReason ?? 'internal_error',
  }
  const put = putInto(attributes)
  put('http.route', route === 'other' ? undefined : route)
  put('client.address', record.client)
  put('vllm_router.tenant', record.tenant)
  put('http.request.body.size', record.requestBytes)
  put('error.type', errorType)
  put('vllm_router.worker_request_id', record.engineId)
  put('vllm_router.worker', record.workerUrl)
  if (record.attempts > 0) put('vllm_router.candidates', record.candidates)
  const operation = method === 'POST' ? operations[route] : undefined
  if (operation === undefined) return attributes
  put('gen_ai.operation.name', operation)
  put('gen_ai.provider.name', 'vllm')
  put('gen_ai.request.model', model === 'unknown' ? undefined : model)
  put('gen_ai.request.stream', record.stream)
  put('gen_ai.response.model', record.answeredBy)
  put('gen_ai.usage.input_tokens', usage?.prompt)
  put('gen_ai.usage.output_tokens', usage?.completion)
  put('gen_ai.usage.cache_read.input_tokens', usage?.cached)
  if (record.firstTokenAt !== undefined)
    put('gen_ai.response.time_to_first_chunk', (record.firstTokenAt - record.startedAt) / 1000)
  return attributes
}

/** @param index 0 is the first */
export function attemptAttributes(
  { worker, why, status }: TracedAttempt,
  { record, index, outcome }: { record: RequestRecord; index: number; outcome: string },
): Attributes {
  const { hostname, port, protocol } = new URL(worker)
  const { method, path } = record
  const attributes: Attributes = {
    'http.request.method': methods.has(method) ? method : '_OTHER',
    'url.full': worker.replace(/\/$/, '') + path.slice(0, longestPath),
    'url.scheme': protocol.slice(0, -1),
    'server.address': hostname.replace(/^\[|\]$/g, ''),
    'server.port': Number(port || (protocol === 'https:' ? 443 : 80)),
    'vllm_router.worker': worker,
    'vllm_router.outcome': outcome,
  }
  const put = putInto(attributes)
  put('vllm_router.why', why)
  put('http.response.status_code', status)
  if (index > 0) put('http.request.resend_count', index)
  return attributes
}

/** What is not known has no attribute. */
function putInto(attributes: Attributes) {
  return (name: string, value: AttributeValue | undefined) => {
    if (value !== undefined) attributes[name] = value
  }
}
