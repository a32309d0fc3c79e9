import type { Context, Handler } from 'hono'
import { dialectOf } from '../../middleware/errors.ts'
import type { Incoming } from '../../middleware/incoming.ts'
import type { RequestBody } from '../../middleware/request-body.ts'
import type { Clock } from '../clock.ts'
import type { GatewayContext } from '../gateway-context.ts'
import type { Call, StreamFacts } from '../relay/call.ts'
import { type Answer, bodiless } from '../relay/exchange.ts'
import { headerOf, requestHeaders, responseHeaders } from '../relay/headers.ts'
import { type Interruptible, KeepAlive } from '../relay/keep-alive.ts'
import { LongHold } from '../relay/long-hold.ts'
import { type RelayOptions, relay } from '../relay/relay.ts'
import { RequestKind } from '../relay/request-kind.ts'
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
  /** Milliseconds after which the head of a stream and comments go out ahead of its content; infinite: never. */
  readonly holdCommentAfterMs: number
  /** Milliseconds of silence of a committed stream after which a comment is put in; infinite: never. */
  readonly keepAliveMs: number
}

/** Routes whose streams end with a marker: without it, a clean end is a broken stream all the same. */
const markedStreams = new Set(['/v1/chat/completions', '/v1/completions', '/v1/responses', '/v1/messages'])

/** Relays a request of any path to a worker. There is no other way in. */
export function inference(options: InferenceOptions): Handler<GatewayContext> {
  return async function relayRequest(c) {
    const call = callOf(c, options)
    const { record } = call
    options.metrics.overhead.of().observe((options.clock.now() - record.startedAt) / 1000)
    const answered = relay(call, options.relay).then((answer) => kept(answer, options))
    return respond(c, call, await (call.longHold?.race(answered) ?? answered))
  }
}

/** The answer with comments in its silences, where that is wanted. */
function kept(answer: Answer, { keepAliveMs: everyMs, clock }: InferenceOptions): Answer {
  if (everyMs === Number.POSITIVE_INFINITY || answer.isEventStream !== true) return answer
  return { ...answer, body: new KeepAlive(answer.body as Interruptible, { everyMs, clock }) }
}

function callOf(c: Context<GatewayContext>, options: InferenceOptions): Call {
  const { relay, workerKey, dropClientKey } = options
  const { incoming } = c.env
  const record = c.get('record')
  const payload = c.get('payload')
  const body = c.get('body')
  const { model, stream } = payload === undefined ? formFields(incoming, body) : payload
  const path = pathAndQuery(c.req.url)
  if (typeof model === 'string' && relay.pool.serves(model)) record.model = model
  record.stream = stream === true
  const headers = requestHeaders(incoming.headers, {
    requestId: c.get('requestId'),
    workerKey,
    dropClientKey: dropClientKey || c.get('keyConsumed') === true,
  })
  const facts = { dialect: dialectOf(c.req.path), endMarker: markedStreams.has(c.req.path), record }
  return {
    method: c.req.method,
    path,
    headers,
    body,
    stream: record.stream,
    kind: new RequestKind({
      model: typeof model === 'string' ? model : undefined,
      stream: record.stream,
      path,
      headers,
      bodyBytes: body?.byteLength ?? 0,
    }),
    longHold: longHold(facts, options),
    ...facts,
  }
}

/** Of streams of events only: of what else a client may stream, its reader would take a comment for content. */
function longHold(stream: StreamFacts, { holdCommentAfterMs: afterMs, clock }: InferenceOptions) {
  if (!stream.record.stream || !stream.endMarker || afterMs === Number.POSITIVE_INFINITY) return undefined
  return new LongHold({ stream, afterMs, clock })
}

/** What routing needs to know, from a body that is no checked JSON. */
function formFields({ headers }: Incoming, body: RequestBody | undefined) {
  const contentType = headerOf(headers, 'content-type')
  return {
    model: formField(body, contentType, 'model'),
    stream: formField(body, contentType, 'stream') === 'true',
  }
}

function respond(c: Context<GatewayContext>, call: Call, answer: Answer): Response {
  const { status, headers, body, reportsError = false, isEventStream = false } = answer
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
  record.eventStream = isEventStream
  return new Response(c.env.incoming.openStream(body), init)
}

/** A plain object where it will do: on Node, `Headers` would be built only to be taken apart again. */
function answerHeaders(headers: Answer['headers'], { record }: Call): Headers | Record<string, string> {
  const fields = responseHeaders(headers)
  const list: Record<string, string> = {}
  for (const field of fields) {
    const name = field[0]
    if (list[name] !== undefined)
      return new Headers([...fields, ...Object.entries(ownHeaders(record))] as [string, string][])
    list[name] = field[1]
  }
  return Object.assign(list, ownHeaders(record))
}

function ownHeaders({ requestId, workerId, attempts }: Call['record']): Record<string, string> {
  return {
    'x-request-id': requestId,
    'x-router-worker': workerId ?? '',
    'x-router-attempts': String(attempts),
  }
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
