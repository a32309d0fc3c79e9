import type { BegunAttempt, RequestTrace } from '../../request/request-trace.ts'
import type { HeaderFields } from '../../upstream/http-client.ts'
import { type ClientTrace, withTraceParent } from './trace-context.ts'
import { newSpanId, untracedParent } from './trace-ids.ts'

/** An attempt as the traces show it; times in milliseconds on the router's clock. */
export interface TracedAttempt extends BegunAttempt {
  readonly spanId: string
  status: number | undefined
  headAt: number | undefined
  /** A fault, or `elsewhere` where another worker was asked after an answer; undefined: it goes on, or was the last. */
  outcome: string | undefined
  endedAt: number | undefined
}

const sampled = 1

/** A request that is traced: what its record does not keep. */
export class SampledTrace implements RequestTrace {
  readonly traceId: string
  readonly spanId = newSpanId()
  readonly client: ClientTrace
  readonly attempts: TracedAttempt[] = []
  committedAt: number | undefined
  readonly #flags: string

  constructor(traceId: string, client: ClientTrace) {
    this.traceId = traceId
    this.client = client
    this.#flags = ((client.parent?.traceFlags ?? 0) | sampled).toString(16).padStart(2, '0')
  }

  attemptBegins({ worker, why, sentAt }: BegunAttempt): void {
    const before = this.attempts.at(-1)
    if (before !== undefined && before.outcome === undefined) {
      before.outcome = 'elsewhere'
      before.endedAt = sentAt
    }
    const nothingYet = { status: undefined, headAt: undefined, outcome: undefined, endedAt: undefined }
    this.attempts.push({ worker, why, sentAt, spanId: newSpanId(), ...nothingYet })
  }

  fields(headers: HeaderFields): HeaderFields {
    const spanId = this.attempts.at(-1)?.spanId ?? this.spanId
    return withTraceParent(headers, `00-${this.traceId}-${spanId}-${this.#flags}`, this.client)
  }

  gotHead(status: number, at: number): void {
    const attempt = this.attempts.at(-1)
    if (attempt === undefined) return
    attempt.status = status
    attempt.headAt = at
  }

  attemptFailed(outcome: string, at: number): void {
    const attempt = this.attempts.at(-1)
    if (attempt === undefined) return
    attempt.outcome = outcome
    attempt.endedAt = at
  }

  committed(at: number): void {
    this.committedAt = at
  }
}

/**
 * A request that is not among those that are sampled. Its worker is told so: else it would begin a trace of its own for
 * each of them.
 */
export class UnsampledTrace implements RequestTrace {
  readonly traceId = undefined
  readonly #traceparent = untracedParent()
  readonly #client: ClientTrace

  constructor(client: ClientTrace) {
    this.#client = client
  }

  fields(headers: HeaderFields): HeaderFields {
    return withTraceParent(headers, this.#traceparent, this.#client)
  }

  attemptBegins(): void {}
  gotHead(): void {}
  attemptFailed(): void {}
  committed(): void {}
}
