/**
 * The ways in which a simulated server can be told to misbehave: by `setFault`, by `POST /sim/fault`, by the flag
 * `--fault`, and for one request by its header `x-sim-fault`.
 */

/** Where in an answer it happens. In a plain answer everything after the head means "with half of the body sent". */
export type FaultPoint =
  /** Instead of an answer. */
  | 'before-head'
  /** After status and headers, which a stream gets before prefill. */
  | 'after-head'
  /** After the events without content (role-only delta, message_start ...) and before the first token. */
  | 'after-role'
  /** After `tokens` tokens, or after the last one when there are fewer. */
  | 'after-tokens'
  /** After `tokens` tokens and half of the bytes of the next event. */
  | 'mid-event'

interface Scope {
  /** Share of the matching requests that are hit, 0 to 1. Default 1. */
  probability?: number
  /** How many requests are hit before the fault is used up. Default unlimited. */
  times?: number
  /** Only paths that begin with this. Default: all paths of the model API, not probes, metrics and models. */
  path?: string
}

interface Placed {
  /** Default `before-head`. */
  at?: FaultPoint
  /** For `after-tokens` and `mid-event`. Default 1. */
  tokens?: number
  /** Wait this long at the point before acting. Default 0. */
  delayMs?: number
}

export type Fault = Scope &
  (
    | { kind: 'status'; status: number; body?: unknown; retryAfter?: number | string }
    /** `reset` is a TCP RST, `close` a FIN without an end of the body, `hang` silence with the connection open. */
    | ({ kind: 'reset' | 'close' | 'hang' } & Placed)
    /** Without `at` the server dies as soon as the fault is set, else when a request gets to that point. */
    | ({ kind: 'die' } & Placed)
    /** A stream that ends cleanly, but without finish reason, usage and `[DONE]`. */
    | { kind: 'no-done' }
    /** A stream that carries an error event after `tokens` tokens (default 0: first) and then ends cleanly. */
    | { kind: 'error-event'; tokens?: number; message?: string }
    /** Stops listening at once, for `ms` or until cleared. Requests in progress go on. */
    | { kind: 'refuse'; ms?: number }
    /** `/health` answers after `ms`. */
    | { kind: 'slow-health'; ms: number }
    /** `/health` answers with this status. */
    | { kind: 'health-status'; status: number }
  )

export type FaultKind = Fault['kind']

export const faultPoints: readonly FaultPoint[] = [
  'before-head',
  'after-head',
  'after-role',
  'after-tokens',
  'mid-event',
]

export const faultKinds: readonly FaultKind[] = [
  'status',
  'reset',
  'close',
  'hang',
  'die',
  'no-done',
  'error-event',
  'refuse',
  'slow-health',
  'health-status',
]
