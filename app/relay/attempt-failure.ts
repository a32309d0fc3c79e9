import { type ErrorCode, RouterError } from '../../middleware/errors.ts'
import type { Outcome } from '../../policies/resilience/outcome.ts'
import type { HeaderFields } from '../runtime/http-client.ts'

/** A worker's own answer, held whole because another worker may do better. */
export interface HeldAnswer {
  readonly status: number
  readonly headers: HeaderFields
  readonly body: Uint8Array
  /** Its body is the beginning of a stream, in which the worker reports an error. */
  readonly reportsError?: boolean
}

export interface FailureDetails {
  readonly code: ErrorCode
  /** For the client: no worker addresses. */
  readonly message: string
  /** For operators: what happened, in the runtime's words. */
  readonly reason: string
  readonly outcome: Outcome
  /** May another worker try? */
  readonly retryable: boolean
  /** The worker closed the connection under this request: it may have died of it. */
  readonly died?: boolean
  /** Nothing listens there: worth a probe now. */
  readonly unreachable?: boolean
  /** Milliseconds the worker asked to be left alone. */
  readonly coolDownMs?: number
  readonly answer?: HeldAnswer
  /** This machine is short of connections: the client is to ask again in a second, and gives its own one back. */
  readonly noRoom?: boolean
}

/** One attempt failed before anything was sent to the client. Carries the decision: whose fault, and may it be retried. */
export class AttemptFailure extends Error {
  override readonly name = 'AttemptFailure'
  readonly details: FailureDetails

  constructor(details: FailureDetails) {
    super(details.reason)
    this.details = details
  }

  /** What the client gets when no attempt is left and no worker has answered. */
  toRouterError(): RouterError {
    const { code, message, noRoom = false } = this.details
    return new RouterError(code, message, { cause: this, ...(noRoom && { retryAfter: 1, close: true }) })
  }

  /** A worker's own answer that says it failed: perhaps the request's fault, if another worker answers the same. */
  get isServerError(): boolean {
    return this.details.answer !== undefined && this.details.outcome === 'failure'
  }
}
