import { type ErrorCode, RouterError } from '../../http/errors.ts'
import type { HeaderFields } from '../upstream/http-client.ts'
import { type Fault, type Verdict, verdictOn } from './verdicts.ts'

/** A worker's own answer, held whole because another worker may do better. */
export interface HeldAnswer {
  readonly status: number
  readonly headers: HeaderFields
  readonly body: Uint8Array
  /** Its body is the beginning of a stream, in which the worker reports an error. */
  readonly reportsError?: boolean
}

export interface FailureDetails {
  readonly fault: Fault
  readonly code: ErrorCode
  /** For the client: no worker addresses. */
  readonly message: string
  /** For operators: what happened, in the runtime's words. */
  readonly reason: string
  /** Milliseconds the worker asked to be left alone; 0 when it did not. */
  readonly retryAfterMs?: number
  readonly answer?: HeldAnswer
}

/** One attempt failed before anything of its answer was sent to the client. The fault carries the decision. */
export class AttemptFailure extends Error {
  override readonly name = 'AttemptFailure'
  readonly details: FailureDetails

  constructor(details: FailureDetails) {
    super(details.reason)
    this.details = details
  }

  get verdict(): Verdict {
    return verdictOn(this.details.fault)
  }

  /** What the client gets when no attempt is left and no worker has answered. */
  toRouterError(): RouterError {
    const { fault, code, message } = this.details
    // The client gives its own connection back, and asks again in a second.
    const relief = fault === 'no_connection_left' ? { retryAfter: 1, close: true } : {}
    return new RouterError(code, message, { cause: this, ...relief })
  }
}
