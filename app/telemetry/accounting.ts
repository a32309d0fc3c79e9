import { RequestRecord } from '../request/request-record.ts'
import type { StopReason } from '../request/stop.ts'
import type { Clock } from '../runtime/clock.ts'
import type { HeaderFields } from '../upstream/http-client.ts'
import type { HistogramSeries } from './bound-histogram.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { RecentRequests } from './recent-requests.ts'
import { type RequestLog, requestLog } from './request-log.ts'
import { TenantCounts } from './tenant-counts.ts'
import type { Tracer } from './tracer.ts'
import { UsageBook } from './usage-book.ts'

/** Tokens that one event may stand for, at most: what a usage claims beyond that is not believed. */
const mostMerged = 100

const probes: ReadonlySet<string> = new Set(['/health', '/liveness', '/readiness'])

export interface AccountingOptions {
  readonly metrics: Metrics
  readonly log: Log
  readonly clock: Clock
  /** Undefined: there are no traces. */
  readonly tracer?: Tracer | undefined
  /** Default: one that nobody reads. */
  readonly usage?: UsageBook | undefined
  /** Told the tokens of each answer, as the metrics have them, with the worker that gave it. */
  readonly onTokens?: ((workerId: string, completion: number) => void) | undefined
}

/** Opens a record for each client request and closes the books on it: metrics, one log line, and its trace. */
export class Accounting {
  readonly #metrics: Metrics
  readonly #log: Log
  readonly #writeRequest: RequestLog
  readonly #clock: Clock
  readonly #tracer: Tracer | undefined
  readonly #usage: UsageBook
  readonly #onTokens: AccountingOptions['onTokens']
  readonly #open = new Set<RequestRecord>()
  readonly #idle: (() => void)[] = []
  readonly recent: RecentRequests
  readonly tenants: TenantCounts

  constructor(options: AccountingOptions) {
    const { metrics, log, clock, tracer, usage = new UsageBook(metrics) } = options
    this.#onTokens = options.onTokens
    this.#metrics = metrics
    this.tenants = new TenantCounts(metrics)
    this.#usage = usage
    this.#log = log
    this.#writeRequest = requestLog(log)
    this.#clock = clock
    this.#tracer = tracer
    this.recent = new RecentRequests(
      () => clock.now(),
      () => this.#open,
    )
  }

  /** From now on there are tenants of these names: the series of all others go. */
  follow(tenants: Iterable<string>): void {
    this.tenants.follow(tenants)
    this.#usage.keepOnly((tenant) => this.tenants.label(tenant) === tenant)
  }

  /** Requests that have not ended yet. */
  get openCount(): number {
    return this.#open.size
  }

  /** @param headers of the client, where its request may be traced */
  open(method: string, path: string, headers?: HeaderFields): RequestRecord {
    let gaps: HistogramSeries | undefined
    const record: RequestRecord = new RequestRecord(method, path, this.#clock.now(), (seconds) => {
      // The model is known by the time of the first token, and stays.
      gaps ??= this.#metrics.tokenGap.of(record.model)
      gaps.observe(seconds)
    })
    this.#open.add(record)
    if (this.#tracer !== undefined && headers !== undefined && !probes.has(path))
      record.trace = this.#tracer.begin(headers)
    record.onEnd(() => this.#close(record))
    return record
  }

  /** Ends every open request, each in the way that fits how far it has come. */
  stopAll(reason: StopReason): void {
    for (const record of [...this.#open]) record.stop.because(reason)
  }

  /** Calls `listener` once, as soon as no request is open. */
  onIdle(listener: () => void): void {
    if (this.#open.size === 0) listener()
    else this.#idle.push(listener)
  }

  #close(record: RequestRecord): void {
    this.#open.delete(record)
    record.endedAt = this.#clock.now()
    if (!probes.has(record.route)) this.recent.add(record)
    this.#count(record)
    this.#write(record)
    if (record.trace !== undefined) this.#tracer?.end(record)
    if (this.#open.size === 0) for (const listener of this.#idle.splice(0)) listener()
  }

  #count(record: RequestRecord): void {
    const metrics = this.#metrics
    const { route, model, endReason, errorCode, tokenEvents } = record
    const traceId = record.trace?.traceId
    metrics.requests.of(route, String(record.status)).inc()
    if (record.tenant !== undefined) this.tenants.count(record.tenant, record)
    if (record.attempts > 0)
      metrics.duration
        .of(route)
        .observe(((record.endedAt ?? this.#clock.now()) - record.startedAt) / 1000, traceId)
    const code =
      errorCode ?? (endReason === 'completed' || endReason === 'worker_error' ? undefined : endReason)
    if (code !== undefined) metrics.errors.of(route, code).inc()
    if (record.firstTokenAt !== undefined) {
      metrics.firstToken.of(model).observe((record.firstTokenAt - record.startedAt) / 1000, traceId)
    }
    if (record.eventStream && endReason !== undefined) metrics.streamsEnded.of(endReason).inc()
    if (record.attempts > 0) this.#usage.count(this.tenants.label(record.tenant), record)
    if (record.usage !== undefined) {
      const { prompt, completion, cached } = record.usage
      metrics.tokens.of(model, 'prompt').inc(prompt)
      metrics.tokens.of(model, 'completion').inc(completion)
      if (cached !== undefined) metrics.tokens.of(model, 'cached').inc(cached)
      if (tokenEvents > 0) record.merged(Math.min(completion - tokenEvents, tokenEvents * mostMerged))
    } else if (tokenEvents > 0) {
      // Nobody asked for the usage. The request stays as the client wrote it, and the events are counted.
      metrics.tokens.of(model, 'completion').inc(tokenEvents)
      metrics.estimatedTokens.of(model).inc(tokenEvents)
    }
    const completion = record.usage?.completion ?? tokenEvents
    if (completion > 0 && record.workerId !== undefined) this.#onTokens?.(record.workerId, completion)
  }

  #write(record: RequestRecord): void {
    const failed =
      record.status >= 500 || (record.endReason !== 'completed' && record.endReason !== 'client_closed')
    // Kubelets and load balancers ask every few seconds: nobody wants to read that.
    const level = failed && !probes.has(record.route) ? 'warn' : probes.has(record.route) ? 'debug' : 'info'
    if (!this.#log.isLevelEnabled(level)) return
    const { firstTokenAt, startedAt, usage, tokenEvents } = record
    this.#writeRequest(level, {
      request_id: record.requestId,
      worker_request_id: record.engineId,
      method: record.method,
      route: record.route,
      path: record.route === 'other' ? record.path.slice(0, 200) : undefined,
      tenant: record.tenant,
      client: record.client,
      request_bytes: record.requestBytes,
      status: record.status,
      end_reason: record.endReason,
      error_code: record.errorCode,
      error: record.errorMessage,
      model: record.model,
      answered_by: record.answeredBy,
      stream: record.stream,
      worker_id: record.workerId,
      worker: record.workerUrl,
      why: record.why,
      attempts: record.attempts,
      trace_id: record.trace?.traceId,
      duration_ms: round(this.#clock.now() - startedAt),
      first_token_ms: firstTokenAt === undefined ? undefined : round(firstTokenAt - startedAt),
      prompt_tokens: usage?.prompt,
      completion_tokens: usage?.completion ?? (tokenEvents > 0 ? tokenEvents : undefined),
      tokens_estimated: usage === undefined && tokenEvents > 0 ? true : undefined,
    })
  }
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100
}
