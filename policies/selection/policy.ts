/** What a selection policy may know of a worker: plain facts, current at the moment of the call. */
export interface Candidate {
  /** Stable name, unique in the pool. */
  readonly id: string
  /** Grows with each registration; candidates always arrive in this order. */
  readonly ordinal: number
  /** Requests that this router has open on the worker now: exact and instant. */
  readonly inFlight: number
}

/** What a selection policy may know of a request. */
export interface SelectionRequest {
  /** Set only when a worker of the pool is known to serve it, so a client cannot invent keys for a policy's state. */
  readonly model: string | undefined
  /**
   * Another worker has refused or failed it: this choice takes nobody's turn. With one cursor for both, the neighbour of
   * a worker that refuses would serve its share as well.
   */
  readonly again?: boolean
}

/**
 * Chooses one worker among those that may take the request now.
 *
 * Synchronous, no I/O, no log: choosing and counting is one step, so that two requests can never both see the state
 * before either of them. `candidates` is never empty and holds available workers only;
 * the array is the pool's own and serves many requests: never change it.
 */
export interface SelectionPolicy {
  select<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C
}

/** What a policy may use instead of the globals, so that tests can decide chance. */
export interface SelectionContext {
  /** Uniform in [0, 1). */
  readonly random: () => number
}
