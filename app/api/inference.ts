import type { Context, Handler } from 'hono'
import { modelNotFound, routeNotFound } from '../../http/errors.ts'
import type { TrustedProxies } from '../../http/trusted-proxies.ts'
import type { Call } from '../relay/call.ts'
import { type Answer, bodiless } from '../relay/exchange.ts'
import { firstHeader } from '../relay/headers.ts'
import { type Interruptible, KeepAlive } from '../relay/keep-alive.ts'
import { type RelayOptions, relay } from '../relay/relay.ts'
import { usageOf } from '../relay/usage.ts'
import type { GatewayContext } from '../request/context.ts'
import type { RequestRecord } from '../request/request-record.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { ModelDirectory } from '../workers/model-directory.ts'
import { addField, answerHeaders } from './answer-headers.ts'
import { callOf, type Memory, type NamedCall } from './call-of.ts'
import { saysNoModel, saysNoRoute } from './elsewhere.ts'
import { canRename, firstGoodAnswer } from './fallback.ts'
import type { ModelNames } from './model-names.ts'
import { proxyFault, proxyPage } from './proxy-page.ts'

export interface InferenceOptions {
  readonly relay: RelayOptions
  readonly clock: Clock
  readonly metrics: Metrics
  /** Key for the workers, used when the client sends none of its own. */
  readonly workerKey: string | undefined
  /** The client's key is one for the router: workers do not get to see it. */
  readonly dropClientKey: boolean
  /** Whose word on their clients is passed on to workers. */
  readonly proxies: TrustedProxies
  /** Milliseconds after which the head of a stream and comments go out ahead of its content; infinite: never. */
  readonly holdCommentAfterMs: number
  /** Milliseconds of silence of a committed stream after which a comment is put in; infinite: never. */
  readonly keepAliveMs: number
  readonly directory: ModelDirectory
  /** What is known of the requests before; it outlives a configuration. */
  readonly memory: Memory
  /** Aliases and fallbacks. */
  readonly names: ModelNames
  /** Workers are asked for models that none of them lists, too. */
  readonly askUnlisted: boolean
  /** Workers are told how soon it is the turn of a request. */
  readonly enginePriority: boolean
  /** The router says what browsers may do, not the workers. */
  readonly ownCors: boolean
  /** Told of the page that a proxy in front of a worker sent for an answer. */
  readonly onProxyPage: (record: RequestRecord, page: string) => void
}

const none: readonly string[] = []

/** Relays a request of any path to a worker. There is no other way in. */
export function inference(options: InferenceOptions): Handler<GatewayContext> {
  const { names, clock, metrics, memory } = options
  return async function relayRequest(c) {
    const asked = callOf(c, options, memory)
    const { record, longHold } = asked
    const { model } = asked.kind
    const listed = model === undefined || record.model === model
    const call = listed ? asked : await locate(asked, model, options)
    record.admittedAt = clock.now()
    metrics.overhead.of().observe((record.admittedAt - record.startedAt) / 1000)
    const others = typeof asked.asked === 'string' ? names.fallbacks(asked.asked) : none
    // For the common way no function of its own: each further asynchronous one costs 0.4 us on Bun.
    if (longHold === undefined && others.length === 0)
      return respond(c, call, checked(await relay(call, options.relay), c, call, model), options)
    const answer =
      others.length > 0
        ? withFallbacks(c, { ...call, asked: asked.asked }, others)
        : relay(call, options.relay).then((first) => checked(first, c, call, model))
    return respond(c, call, await (longHold === undefined ? answer : longHold.race(answer)), options)
  }

  function withFallbacks(
    c: Context<GatewayContext>,
    first: NamedCall,
    models: readonly string[],
  ): Promise<Answer> {
    const { record, longHold } = first
    const from = first.kind.model ?? 'unknown'
    return firstGoodAnswer({
      first,
      models,
      requestFor: (as) =>
        canRename(first.asked, first.body, names)
          ? { ...callOf(c, options, memory, as), longHold }
          : undefined,
      async ask(asked) {
        const { model } = asked.kind
        const listed = model === undefined || record.model === model
        const call = listed ? asked : await locate(asked, model, options)
        return checked(await relay(call, options.relay), c, call, model)
      },
      onFallback(to) {
        record.stop.throwIfStopped()
        record.answeredBy = to
        metrics.fallbacks.of(from, to).inc()
      },
    })
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

function respond(
  c: Context<GatewayContext>,
  call: Call,
  answer: Answer,
  { memory: { responses }, ownCors, clock }: InferenceOptions,
): Response {
  const { status, headers, body, reportsError = false, isEventStream = false } = answer
  const { record } = call
  // Where only the head and comments go out, another worker may still take over.
  if (record.trace !== undefined && body !== call.longHold) record.trace.committed(clock.now())
  const init = { status, headers: answerHeaders(headers, record, ownCors) }
  if (record.answerFields !== undefined)
    for (const field of record.answerFields) addField(init.headers, field)
  if (record.explain !== undefined) addField(init.headers, record.explain(record, lastOutcome(call, answer)))
  record.status = status
  c.set('requestIdSent', true)
  const stored = status < 300 && responses.concerns(c.req.path)
  if (body instanceof Uint8Array) {
    record.eventStream = reportsError
    if (reportsError) record.end('worker_error')
    if (stored) responses.learn(record, body)
    record.usage = status < 300 && isJson(headers) ? usageOf(record, body, false) : undefined
    return new Response(bodiless.has(status) ? null : body, init)
  }
  record.live = true
  record.eventStream = isEventStream
  const source = stored ? responses.learnFrom(record, body) : body
  return new Response(c.env.incoming.openStream(source), init)
}

/** What is known of the last attempt when the head goes out. */
function lastOutcome({ longHold }: Call, { status, body, reportsError = false }: Answer): string {
  if (body === longHold) return 'waiting'
  if (reportsError) return 'worker_error'
  if (status >= 400) return String(status)
  return body instanceof Uint8Array ? 'ok' : 'streaming'
}

function isJson(headers: Answer['headers']): boolean {
  return firstHeader(headers, 'content-type')?.includes('json') ?? false
}
