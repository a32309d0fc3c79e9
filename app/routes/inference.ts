import type { Context, Handler } from 'hono'
import { dialectOf } from '../../middleware/errors.ts'
import type { Clock } from '../clock.ts'
import type { GatewayContext } from '../gateway-context.ts'
import type { Call } from '../relay/call.ts'
import { EventStream } from '../relay/event-stream.ts'
import { type Answer, bodiless } from '../relay/exchange.ts'
import { headerOf, requestHeaders, responseHeaders } from '../relay/headers.ts'
import { type RelayOptions, relay } from '../relay/relay.ts'
import { findUsage } from '../relay/usage.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { formField } from './form-field.ts'

export interface InferenceOptions {
  readonly relay: RelayOptions
  readonly clock: Clock
  readonly metrics: Metrics
  /** Key for the workers, used when the client sends none of its own. */
  readonly workerKey: string | undefined
  /** The client's key is one for the router: workers do not get to see it. */
  readonly dropClientKey: boolean
}

/** Routes whose streams end with a marker: without it, a clean end is a broken stream all the same. */
const markedStreams = new Set(['/v1/chat/completions', '/v1/completions', '/v1/responses', '/v1/messages'])

/** Relays a request of any path to a worker. There is no other way in. */
export function inference(options: InferenceOptions): Handler<GatewayContext> {
  return async function relayRequest(c) {
    const call = callOf(c, options)
    const { record } = call
    options.metrics.overhead.of().observe((options.clock.now() - record.startedAt) / 1000)
    const answer = await relay(call, options.relay)
    return respond(c, call, answer)
  }
}

function callOf(c: Context<GatewayContext>, options: InferenceOptions): Call {
  const { relay, workerKey, dropClientKey } = options
  const { incoming } = c.env
  const record = c.get('record')
  const payload = c.get('payload')
  const body = c.get('body')
  const contentType = incoming.header('content-type')
  const model = payload === undefined ? formField(body, contentType, 'model') : payload.model
  const stream =
    payload === undefined ? formField(body, contentType, 'stream') === 'true' : payload.stream === true
  const path = pathAndQuery(c.req.url)
  if (typeof model === 'string' && relay.pool.serves(model)) record.model = model
  record.stream = stream
  return {
    method: c.req.method,
    path,
    headers: requestHeaders(incoming.headers, {
      requestId: c.get('requestId'),
      workerKey,
      dropClientKey: dropClientKey || c.get('keyConsumed') === true,
    }),
    body,
    model: typeof model === 'string' ? model : undefined,
    stream,
    dialect: dialectOf(c.req.path),
    endMarker: markedStreams.has(c.req.path),
    record,
  }
}

function respond(c: Context<GatewayContext>, call: Call, answer: Answer): Response {
  const { status, headers, body, reportsError = false } = answer
  const { record } = call
  const init = { status, headers: answerHeaders(headers, call) }
  record.status = status
  c.set('requestIdSent', true)
  if (body instanceof Uint8Array) {
    record.eventStream = reportsError
    if (reportsError) record.end('worker_error')
    record.usage = status < 300 && isJson(headers) ? findUsage(body) : undefined
    return new Response(bodiless.has(status) ? null : body, init)
  }
  record.live = true
  record.eventStream = body instanceof EventStream
  return new Response(c.env.incoming.openStream(body), init)
}

/** A plain object where it will do: on Node, `Headers` would be built only to be taken apart again. */
function answerHeaders(headers: Answer['headers'], { record }: Call): Headers | Record<string, string> {
  const list: Record<string, string> = {}
  const fields = responseHeaders(headers)
  for (const [name, value] of fields) {
    if (name in list) return new Headers([...fields, ...ownHeaders(record)] as [string, string][])
    list[name] = value
  }
  for (const [name, value] of ownHeaders(record)) list[name] = value
  return list
}

function ownHeaders(record: Call['record']): readonly (readonly [string, string])[] {
  return [
    ['x-request-id', record.requestId],
    ['x-router-worker', record.workerId ?? ''],
    ['x-router-attempts', String(record.attempts)],
  ]
}

function isJson(headers: Answer['headers']): boolean {
  return headerOf(headers, 'content-type')?.includes('json') ?? false
}

/** Of an absolute URL, without parsing it again. */
function pathAndQuery(url: string): string {
  const start = url.indexOf('/', url.indexOf('//') + 2)
  if (start === -1) return '/'
  const end = url.indexOf('#', start)
  return end === -1 ? url.slice(start) : url.slice(start, end)
}
