/** Header fields in their order. */
export type TraceFields = readonly (readonly [name: string, value: string])[]

/** One attempt as it begins; times in milliseconds on the router's clock. */
export interface BegunAttempt {
  /** The worker's URL. */
  readonly worker: string
  /** Why the policy chose it, in a word. */
  readonly why: string | undefined
  readonly sentAt: number
}

/**
 * What a request tells its trace on its way. A record without one is not traced. Everything else that a trace shows
 * stands in the record.
 */
export interface RequestTrace {
  /** Undefined: this request is not among those that are sampled, and its workers are only told so. */
  readonly traceId: string | undefined
  /** An attempt begins; what is told from now on is about it. */
  attemptBegins(attempt: BegunAttempt): void
  /** What the worker of this attempt gets: the same fields, with this trace in place of the client's own. */
  fields(headers: TraceFields): TraceFields
  /** The head of the worker's answer has come. */
  gotHead(status: number, at: number): void
  /** The attempt has come to nothing. */
  attemptFailed(outcome: string, at: number): void
  /** The first byte of the answer goes to the client. */
  committed(at: number): void
}
