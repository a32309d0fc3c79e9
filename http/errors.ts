/**
 * Every error that the router itself can answer with: one table, one class, one renderer.
 *
 * The `code` is a promise to clients, dashboards and alerts: it is the `error.code` of the body, the `error_type` label
 * of `vllm_router_request_errors_total`, and the word in the access log.
 */

interface ErrorKind {
  /** HTTP status. 499 is never sent: the client has left; it exists for log and metrics. */
  readonly status: number
  /** `error.type` in the OpenAI shape. */
  readonly type: string
  /** `error.type` in Anthropic's shape, on `/v1/messages`. */
  readonly anthropic: string
}

const kinds = {
  invalid_json: { status: 400, type: 'invalid_request_error', anthropic: 'invalid_request_error' },
  invalid_request: { status: 400, type: 'invalid_request_error', anthropic: 'invalid_request_error' },
  invalid_api_key: { status: 401, type: 'authentication_error', anthropic: 'authentication_error' },
  expired_api_key: { status: 401, type: 'authentication_error', anthropic: 'authentication_error' },
  forbidden: { status: 403, type: 'permission_error', anthropic: 'permission_error' },
  not_found: { status: 404, type: 'invalid_request_error', anthropic: 'not_found_error' },
  model_not_found: { status: 404, type: 'invalid_request_error', anthropic: 'not_found_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error', anthropic: 'invalid_request_error' },
  upload_timeout: { status: 408, type: 'invalid_request_error', anthropic: 'timeout_error' },
  queue_timeout: { status: 408, type: 'rate_limit_error', anthropic: 'rate_limit_error' },
  payload_too_large: { status: 413, type: 'invalid_request_error', anthropic: 'request_too_large' },
  unsupported_media_type: { status: 415, type: 'invalid_request_error', anthropic: 'invalid_request_error' },
  queue_full: { status: 429, type: 'rate_limit_error', anthropic: 'rate_limit_error' },
  rate_limited: { status: 429, type: 'rate_limit_error', anthropic: 'rate_limit_error' },
  tenant_rate_limited: { status: 429, type: 'rate_limit_error', anthropic: 'rate_limit_error' },
  headers_too_large: { status: 431, type: 'invalid_request_error', anthropic: 'invalid_request_error' },
  client_closed: { status: 499, type: 'client_closed', anthropic: 'api_error' },
  websocket_not_supported: { status: 501, type: 'invalid_request_error', anthropic: 'invalid_request_error' },
  internal_error: { status: 500, type: 'internal_error', anthropic: 'api_error' },
  worker_unreachable: { status: 502, type: 'upstream_error', anthropic: 'api_error' },
  bad_worker_response: { status: 502, type: 'upstream_error', anthropic: 'api_error' },
  no_available_worker: { status: 503, type: 'upstream_error', anthropic: 'overloaded_error' },
  jwks_unreachable: { status: 503, type: 'upstream_error', anthropic: 'overloaded_error' },
  buffers_full: { status: 503, type: 'rate_limit_error', anthropic: 'overloaded_error' },
  draining: { status: 503, type: 'upstream_error', anthropic: 'overloaded_error' },
  first_token_timeout: { status: 504, type: 'upstream_error', anthropic: 'timeout_error' },
  request_timeout: { status: 504, type: 'upstream_error', anthropic: 'timeout_error' },
  worker_lost: { status: 502, type: 'upstream_error', anthropic: 'api_error' },
  stream_idle_timeout: { status: 504, type: 'upstream_error', anthropic: 'timeout_error' },
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof kinds

export const errorCodes = Object.keys(kinds) as readonly ErrorCode[]

export interface ErrorDetails {
  /** Path of the field that is wrong, for example `messages[0].role`. */
  readonly param?: string
  /** Seconds, sent as `Retry-After`. */
  readonly retryAfter?: number
  /** The methods that the route has, sent as `Allow`: RFC 9110, section 15.5.6, demands it with a 405. */
  readonly allow?: string
  /** The encodings that a body may have, sent as `Accept-Encoding`: RFC 9110, section 15.5.16, asks for it with a 415. */
  readonly acceptEncoding?: string
  /** The client's connection is closed after the answer. */
  readonly close?: boolean
  /** For the log only; never sent. */
  readonly cause?: unknown
}

/** An answer of the router's own. `message` goes to the client: no prompts, no keys, no worker addresses. */
export class RouterError extends Error {
  override readonly name = 'RouterError'
  readonly code: ErrorCode
  readonly status: number
  readonly param: string | null
  readonly retryAfter: number | undefined
  readonly allow: string | undefined
  readonly acceptEncoding: string | undefined
  readonly close: boolean

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.status = kinds[code].status
    this.param = details.param ?? null
    this.retryAfter = details.retryAfter
    this.allow = details.allow
    this.acceptEncoding = details.acceptEncoding
    this.close = details.close ?? false
  }
}

/**
 * The error as one of the router's own, undefined when it is none. By name, not by class: middleware of the user's own
 * may import another copy of this package than the one that runs, the built one beside the source for instance.
 */
export function asRouterError(error: unknown): RouterError | undefined {
  if (error instanceof RouterError) return error
  const own = error instanceof Error && error.name === 'RouterError' && 'code' in error
  return own && Object.hasOwn(kinds, String(error.code)) ? (error as RouterError) : undefined
}

/** Longest part of a client's word that an error repeats. */
const maxQuoted = 200

/** Most names that an error lists. */
const maxListed = 10

/** @param served names of the models that there are */
export function modelNotFound(model: string, served: Iterable<string> = []): RouterError {
  const names = [...served]
  const there = names.length === 0 ? '' : `; there are: ${listed(names)}`
  return new RouterError('model_not_found', `no worker serves the model ${quoted(model)}${there}`, {
    param: 'model',
  })
}

/**
 * For a model that the client's key may not use, and for one that does not exist: who may not use it does not learn
 * whether it is there. OpenAI answers alike: 404 with this code, "does not exist or you do not have access to it".
 *
 * @param allowed names that the key may use
 */
export function modelNotAllowed(model: string, allowed: Iterable<string>): RouterError {
  const message = `the model ${quoted(model)} does not exist, or this key may not use it; it may use: ${listed([...allowed])}`
  return new RouterError('model_not_found', message, { param: 'model' })
}

function listed(names: readonly string[]): string {
  const more = names.length > maxListed ? ` and ${names.length - maxListed} more` : ''
  return names.slice(0, maxListed).join(', ') + more
}

/** @param path without its query */
export function routeNotFound(method: string, path: string): RouterError {
  return new RouterError('not_found', `the worker has no route ${method} ${quoted(path)}`)
}

function quoted(word: string): string {
  return JSON.stringify(word.length > maxQuoted ? `${word.slice(0, maxQuoted)}...` : word)
}

/** The API whose clients will read the error: each SDK parses only its own shape. */
export type Dialect = 'openai' | 'anthropic' | 'responses'

export function dialectOf(path: string): Dialect {
  if (path === '/v1/messages' || path.startsWith('/v1/messages/')) return 'anthropic'
  if (path === '/v1/responses' || path.startsWith('/v1/responses/')) return 'responses'
  return 'openai'
}

/** The JSON body of an error answer. */
export function errorBody(error: RouterError, dialect: Dialect): object {
  const kind = kinds[error.code]
  if (dialect === 'anthropic') {
    return { type: 'error', error: { type: kind.anthropic, message: error.message, code: error.code } }
  }
  return { error: { message: error.message, type: kind.type, param: error.param, code: error.code } }
}

/** The one place where an error becomes a response. */
export function renderError(error: RouterError, dialect: Dialect): Response {
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (error.retryAfter !== undefined)
    headers['retry-after'] = String(Math.max(1, Math.ceil(error.retryAfter)))
  if (error.allow !== undefined) headers.allow = error.allow
  if (error.acceptEncoding !== undefined) headers['accept-encoding'] = error.acceptEncoding
  if (error.close) headers.connection = 'close'
  return new Response(JSON.stringify(errorBody(error, dialect)), { status: error.status, headers })
}

/**
 * The last event of a stream that broke after its first byte was sent: the only way left to say so.
 * The three shapes are what the official clients raise as an API error instead of taking the stream for complete.
 */
export function errorEvent(error: RouterError, dialect: Dialect): Uint8Array {
  const kind = kinds[error.code]
  if (dialect === 'anthropic') {
    return sse(errorBody(error, dialect), 'error')
  }
  if (dialect === 'responses') {
    return sse(
      {
        type: 'response.failed',
        sequence_number: 0,
        // OpenAI's own clients raise an event with this field as an API error; one without it they only hand out.
        error: { message: error.message, type: kind.type, code: error.code, param: null },
        response: {
          id: '',
          object: 'response',
          status: 'failed',
          error: { code: error.code, message: error.message },
          output: [],
        },
      },
      'response.failed',
    )
  }
  return sse({ error: { message: error.message, type: kind.type, code: error.code, param: null } })
}

const utf8 = new TextEncoder()

function sse(data: object, event?: string): Uint8Array {
  return utf8.encode(`${event === undefined ? '' : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`)
}
