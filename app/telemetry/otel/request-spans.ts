import {
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { RequestRecord } from '../../request/request-record.ts'
import type { Clock } from '../../runtime/clock.ts'
import { attemptAttributes, requestAttributes, spanName } from './span-attributes.ts'
import type { KnownIds } from './trace-ids.ts'
import type { SampledTrace, TracedAttempt } from './traces.ts'

export interface RequestSpansOptions {
  readonly tracer: Tracer
  /** Those of the tracer's provider. */
  readonly ids: KnownIds
  readonly clock: Clock
  /** Of the URLs that clients ask. */
  readonly scheme: 'http' | 'https'
}

/** Ends that are nobody's fault. `elsewhere`: an answer that another worker may better. */
const calm: ReadonlySet<string> = new Set(['completed', 'client_closed', 'elsewhere'])

/** Makes the spans of a request that has ended: one of its own, and one of each attempt. */
export class RequestSpans {
  readonly #options: RequestSpansOptions

  constructor(options: RequestSpansOptions) {
    this.#options = options
  }

  write(record: RequestRecord, traced: SampledTrace): void {
    const { clock } = this.#options
    // From the router's clock to the time of day, to a millisecond; the same for all spans of a request, so that they
    // fit into each other.
    const shift = Date.now() - clock.now()
    const span = this.#requestSpan(record, traced, shift)
    const context = trace.setSpan(ROOT_CONTEXT, span)
    for (const [index, attempt] of traced.attempts.entries())
      this.#attemptSpan(attempt, { record, index, context, shift })
    span.end(shift + endOf(record))
  }

  #requestSpan(record: RequestRecord, traced: SampledTrace, shift: number): Span {
    const { tracer, ids, scheme } = this.#options
    const { parent } = traced.client
    ids.traceId = traced.traceId
    ids.spanId = traced.spanId
    const errorType = errorTypeOf(record)
    const span = tracer.startSpan(
      spanName(record),
      {
        kind: SpanKind.SERVER,
        startTime: shift + record.startedAt,
        attributes: requestAttributes(record, { errorType, scheme }),
      },
      parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent),
    )
    for (const [name, at] of phasesOf(record, traced)) span.addEvent(name, shift + at)
    // A mistake of the client's is no error of the server (semantic conventions, HTTP).
    const { status, endReason } = record
    const broken = status < 400 && !calm.has(endReason ?? 'internal_error')
    if (status >= 500 || broken)
      span.setStatus({ code: SpanStatusCode.ERROR, message: record.errorMessage ?? errorType ?? '' })
    return span
  }

  #attemptSpan(
    attempt: TracedAttempt,
    {
      record,
      index,
      context,
      shift,
    }: { record: RequestRecord; index: number; context: Context; shift: number },
  ): void {
    const { tracer, ids } = this.#options
    const outcome = attempt.outcome ?? record.endReason ?? 'internal_error'
    ids.spanId = attempt.spanId
    const span = tracer.startSpan(
      'attempt',
      {
        kind: SpanKind.CLIENT,
        startTime: shift + attempt.sentAt,
        attributes: attemptAttributes(attempt, { record, index, outcome }),
      },
      context,
    )
    if (attempt.headAt !== undefined) span.addEvent('first_byte', shift + attempt.headAt)
    if (!calm.has(outcome) || (attempt.status ?? 0) >= 400) {
      span.setAttribute('error.type', calm.has(outcome) ? String(attempt.status) : outcome)
      span.setStatus({ code: SpanStatusCode.ERROR, message: outcome })
    }
    span.end(shift + (attempt.endedAt ?? endOf(record)))
  }
}

function endOf({ endedAt, startedAt }: RequestRecord): number {
  return endedAt ?? startedAt
}

function errorTypeOf({ endReason, errorCode, status }: RequestRecord): string | undefined {
  if (errorCode !== undefined) return errorCode
  if (endReason !== undefined && endReason !== 'completed') return endReason
  return status >= 400 ? String(status) : undefined
}

/** In the order of their times. */
function phasesOf(record: RequestRecord, traced: SampledTrace): [name: string, at: number][] {
  const { admittedAt, headAt, firstTokenAt, endReason } = record
  const phases: [name: string, at: number | undefined][] = [
    ['admitted', admittedAt],
    ['selected', traced.attempts[0]?.sentAt],
    ['first_byte', headAt],
    ['commit', traced.committedAt],
    ['first_token', firstTokenAt],
    ['last_byte', endReason === 'completed' ? endOf(record) : undefined],
  ]
  return phases
    .filter((phase): phase is [string, number] => phase[1] !== undefined)
    .sort((a, b) => a[1] - b[1])
}
