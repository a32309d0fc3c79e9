import type { Context, Handler } from 'hono'
import { dialectOf, modelNotFound, routeNotFound } from '../../http/errors.ts'
import type { Incoming } from '../../http/incoming.ts'
import type { JsonObject } from '../../http/json/json.ts'
import type { RequestBody } from '../../http/request-body.ts'
import { laxBoolean } from '../../middleware/schemas/lax-boolean.ts'
import type { Call, StreamFacts } from '../relay/call.ts'
import { type Answer, bodiless } from '../relay/exchange.ts'
import { firstHeader, requestHeaders } from '../relay/headers.ts'
import { type Interruptible, KeepAlive } from '../relay/keep-alive.ts'
import { LongHold } from '../relay/long-hold.ts'
import { type RelayOptions, relay } from '../relay/relay.ts'
import { RequestKind } from '../relay/request-kind.ts'
import { findUsage } from '../relay/usage.ts'
import type { GatewayContext } from '../request/context.ts'
import type { RequestRecord } from '../request/request-record.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { ModelDirectory } from '../workers/model-directory.ts'
import { answerHeaders } from './answer-headers.ts'
import { elsewhere, saysNoModel, saysNoRoute } from './elsewhere.ts'
import { EngineIds } from './engine-ids.ts'
import { formField } from './form-field.ts'
import { impliedModel } from './implied-model.ts'
import { proxyFault, proxyPage } from './proxy-page.ts'
import { ResponseState } from './response-state.ts'

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
  readonly directory: ModelDirectory
  /** Workers are asked for models that none of them lists, too. */
  readonly askUnlisted: boolean
  /** The router says what browsers may do, not the workers. */
  readonly ownCors: boolean
  /** Told of the page that a proxy in front of a worker sent for an answer. */
  readonly onProxyPage: (record: RequestRecord, page: string) => void
}

/** Routes whose streams end with a marker: without it, a clean end is a broken stream all the same. */
const markedStreams = new Set([
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/responses',
  '/v1/messages',
  '/inference/v1/generate',
  '/cohere/v2/chat',
])

/** Relays a request of any path to a worker. There is no other way in. */
export function inference(options: InferenceOptions): Handler<GatewayContext> {
  const engineIds = new EngineIds()
  const responses = new ResponseState(options.relay.pool)
  return async function relayRequest(c) {
    const asked = callOf(c, options, { engineIds, responses })
    const { record } = asked
    const { model } = asked.kind
    const listed = model === undefined || record.model === model
    const call = listed ? asked : await locate(asked, model, options)
    options.metrics.overhead.of().observe((options.clock.now() - record.startedAt) / 1000)
    const { longHold } = call
    // For the common way no function of its own: each further asynchronous one costs 0.4 us on Bun.
    const answer =
      longHold === undefined
        ? checked(await relay(call, options.relay), c, call, model)
        : await longHold.race(relay(call, options.relay).then((first) => checked(first, c, call, model)))
    return respond(c, call, answer, responses, options.ownCors)
  }

  function checked(
    answer: Answer,
    c: Context<GatewayContext>,
    call: Call,
    model: string | undefined,
  ): Answer {
    const { directory, onProxyPage } = options
    const listed = model === undefined || call.record.model === model
    if (!listed) noteUnlisted(call, model, answer, directory)
    if (saysNoRoute(answer)) throw routeNotFound(call.method, c.req.path)
    const page = proxyPage(answer, c.env.incoming.headers)
    if (page === undefined) return kept(answer, options)
    onProxyPage(call.record, page)
    throw proxyFault(answer.status)
  }
}

/** The answer with comments in its silences, where that is wanted. */
function kept(
  answer: Answer,
  { keepAliveMs: everyMs, clock }: Pick<InferenceOptions, 'keepAliveMs' | 'clock'>,
): Answer {
  if (everyMs === Number.POSITIVE_INFINITY || answer.isEventStream !== true) return answer
  return { ...answer, body: new KeepAlive(answer.body as Interruptible, { everyMs, clock }) }
}

/** For a model that no worker lists: it may have been loaded a moment ago, or be loaded when it is asked for. */
async function locate(call: Call, model: string, options: InferenceOptions): Promise<Call> {
  const { relay, directory, askUnlisted } = options
  const { pool } = relay
  if (pool.mayServe(model)) return call
  await directory.lookAgain()
  if (pool.serves(model)) call.record.model = model
  // Any worker may turn out to have it.
  return askUnlisted && !pool.mayServe(model) ? { ...call, kind: call.kind.forAnyModel() } : call
}

function noteUnlisted(call: Call, model: string, answer: Answer, directory: ModelDirectory): void {
  if (answer.status < 300) directory.served(call.record.workerId, model)
  // All have been asked: that is the router's word, whichever worker was the last.
  else if (call.kind.model === undefined && saysNoModel(answer)) throw modelNotFound(model)
}

/** What is known of the requests before. */
interface Memory {
  readonly engineIds: EngineIds
  readonly responses: ResponseState
}

function callOf(c: Context<GatewayContext>, options: InferenceOptions, memory: Memory): Call {
  const { relay, workerKey, dropClientKey } = options
  const { pool } = relay
  const { incoming } = c.env
  const record = c.get('record')
  const payload = c.get('payload')
  const body = c.get('body')
  const { model: named, stream } = payload === undefined ? formFields(incoming, body) : payload
  const model =
    typeof named === 'string' && named !== '' ? named : impliedModel(pool, c.req.method, c.req.path)
  if (model !== undefined && pool.serves(model)) record.model = model
  record.stream = laxBoolean(stream) === true
  const responseId = memory.responses.idIn(c.req.path, payload)
  const home = responseId === undefined ? undefined : memory.responses.makerOf(responseId)
  const headers = requestHeaders(incoming.headers, {
    requestId: claimEngineId(memory.engineIds, record),
    workerKey,
    dropClientKey: dropClientKey || c.get('keyConsumed') === true,
    bodyDecoded: c.get('bodyDecoded') === true,
  })
  const seeksResponse = responseId !== undefined && home === undefined
  const path = pathAndQuery(c.req.url)
  const dialect = dialectOf(c.req.path)
  const endMarker = markedStreams.has(c.req.path)
  const choices = choicesIn(payload)
  return {
    dialect,
    endMarker,
    choices,
    record,
    method: c.req.method,
    path,
    once: c.get('changesWorker'),
    home,
    elsewhere: elsewhere({ directory: options.directory, headers, workerKey, model, seeksResponse }),
    headers,
    body,
    stream: record.stream,
    kind: new RequestKind({
      model,
      stream: record.stream,
      path,
      headers,
      bodyBytes: body?.byteLength ?? 0,
    }),
    longHold: longHold({ dialect, endMarker, choices, record }, options),
  }
}

/** One prompt, of text or of token ids, has `n` answers; several have so many each. */
function choicesIn(payload: JsonObject | undefined): number {
  const { n, prompt } = payload ?? {}
  const each = typeof n === 'number' && n > 1 ? n : 1
  return Array.isArray(prompt) && typeof prompt[0] !== 'number' ? each * Math.max(1, prompt.length) : each
}

/** Of streams of events only: of what else a client may stream, its reader would take a comment for content. */
function longHold(stream: StreamFacts, { holdCommentAfterMs: afterMs, clock }: InferenceOptions) {
  if (!stream.record.stream || !stream.endMarker || afterMs === Number.POSITIVE_INFINITY) return undefined
  return new LongHold({ stream, afterMs, clock })
}

function claimEngineId(engineIds: EngineIds, record: RequestRecord): string {
  const id = engineIds.claim(record.requestId)
  if (id !== record.requestId) record.engineId = id
  record.onEnd(() => engineIds.release(id))
  return id
}

/** What routing needs to know, from a body that is no JSON. */
function formFields({ headers }: Incoming, body: RequestBody | undefined) {
  const contentType = firstHeader(headers, 'content-type')
  return {
    model: formField(body, contentType, 'model'),
    stream: formField(body, contentType, 'stream'),
  }
}

function respond(
  c: Context<GatewayContext>,
  call: Call,
  answer: Answer,
  responses: ResponseState,
  ownCors: boolean,
): Response {
  const { status, headers, body, reportsError = false, isEventStream = false } = answer
  const { record } = call
  const init = { status, headers: answerHeaders(headers, record, ownCors) }
  record.status = status
  c.set('requestIdSent', true)
  const stored = status < 300 && responses.concerns(c.req.path)
  if (body instanceof Uint8Array) {
    record.eventStream = reportsError
    if (reportsError) record.end('worker_error')
    if (stored) responses.learn(record, body)
    record.usage =
      status < 300 && generates(call, c.req.path) && isJson(headers) ? findUsage(body) : undefined
    return new Response(bodiless.has(status) ? null : body, init)
  }
  record.live = true
  record.eventStream = isEventStream
  const source = stored ? responses.learnFrom(record, body) : body
  return new Response(c.env.incoming.openStream(source), init)
}

/** Whoever fetches a stored response gets its usage once more, and it was counted when it was made. */
function generates({ method }: Call, path: string): boolean {
  return method === 'POST' && !path.startsWith('/v1/responses/')
}

function isJson(headers: Answer['headers']): boolean {
  return firstHeader(headers, 'content-type')?.includes('json') ?? false
}

/**
 * Of an absolute URL, without parsing it again. Without a slash at the end of the path: vLLM would answer with a redirect
 * to its own address.
 */
function pathAndQuery(url: string): string {
  const start = url.indexOf('/', url.indexOf('//') + 2)
  if (start === -1) return '/'
  const end = url.indexOf('#', start)
  const whole = end === -1 ? url.slice(start) : url.slice(start, end)
  const query = whole.indexOf('?')
  const last = (query === -1 ? whole.length : query) - 1
  return last > 0 && whole[last] === '/' ? whole.slice(0, last) + whole.slice(last + 1) : whole
}
