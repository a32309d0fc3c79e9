/**
 * Every way in which an attempt can fail, and what follows from it: whom it speaks against, and whether another worker
 * may try. The only place where that is decided; docs/errors.md shows the same table.
 *
 * The rule behind it: a fault that can follow from the request blames nobody, since one client could take healthy
 * workers from all others with it. What only this worker does is its fault.
 */

/**
 * - `nobody`: says nothing about the worker's health.
 * - `worker`: counts against it at once.
 * - `unless_alike`: counts against it unless another worker does alike. Before the commit the same request asks one;
 *   where none could be asked it is not held against the worker either, unless there is no other. After the commit the
 *   streams of other workers within the last half a minute are asked.
 * - `unless_alike_and_alive`: the same, but only workers that have served others within half a minute are excused. A
 *   connection that breaks is most often a dying worker, and several may die at once.
 */
export type Blame = 'nobody' | 'worker' | 'unless_alike' | 'unless_alike_and_alive'

/**
 * - `never`: the answer would be the same, or something has reached the client.
 * - `within_budget`: on an untried worker at once, on a tried one after a pause, as long as the retry budget lasts.
 * - `free`: no work was begun, or the worker is known to be lost: an untried worker costs the budget nothing.
 */
export type Again = 'never' | 'within_budget' | 'free'

export interface Verdict {
  readonly blame: Blame
  readonly again: Again
  /** The worker may have died of this request, which is then tried once more and no further. */
  readonly deadly?: true
}

export const verdicts = {
  // --- what can only be the client's or the router's doing ---
  /** The request's head cannot be written: nothing was sent. */
  unsendable: { blame: 'nobody', again: 'never' },
  /** This process has no file descriptor left for a connection. */
  no_connection_left: { blame: 'nobody', again: 'never' },
  /** The router ended the exchange itself. */
  ended_by_router: { blame: 'nobody', again: 'within_budget' },
  /** The worker says, by number or by word, that the request is wrong: it works, which is a success. */
  client_mistake: { blame: 'nobody', again: 'never' },

  // --- what the worker cannot or will not do now, without being ill ---
  /** 429 or 503: it refuses before any work. It stands back for its Retry-After, or for a pause of the router's. */
  busy: { blame: 'nobody', again: 'free' },
  /** It drains: alive to its probes, and refuses every new request. It stands back for a minute. */
  shutting_down: { blame: 'nobody', again: 'free' },
  /** 408: it gave up waiting. */
  waited_too_long: { blame: 'nobody', again: 'within_budget' },
  /** A redirect, which the router does not follow. */
  redirect: { blame: 'nobody', again: 'within_budget' },
  /** No first token in time, while the worker sent tokens to others: it is overloaded. */
  first_token_overdue: { blame: 'nobody', again: 'within_budget' },

  // --- what the worker does, alone or not ---
  /** No connection could be opened: nobody has seen the request. */
  unreachable: { blame: 'worker', again: 'free' },
  /** The probes found it dead or hung while the request waited on it, and have judged it. */
  let_go: { blame: 'nobody', again: 'free', deadly: true },
  /** The connection ended before the answer did. */
  connection_lost: { blame: 'unless_alike_and_alive', again: 'within_budget', deadly: true },
  /** What arrived is not HTTP. */
  not_http: { blame: 'unless_alike_and_alive', again: 'within_budget' },
  /** An answer with status 500 or above, 503 aside. */
  server_error: { blame: 'unless_alike', again: 'within_budget' },
  /** The same, as the first event of a stream. */
  error_event: { blame: 'unless_alike', again: 'within_budget' },
  /** A stream that ended, in good order or not, before any content. */
  no_content: { blame: 'unless_alike_and_alive', again: 'within_budget', deadly: true },
  /** No first token in time, and no sign of life for anybody else either. */
  first_token_timeout: { blame: 'unless_alike', again: 'within_budget' },

  // --- after the commit ---
  /** The answer broke off. */
  broken_off: { blame: 'unless_alike', again: 'never' },
  /** The stream fell silent. */
  fell_silent: { blame: 'unless_alike', again: 'never' },
  /** The stream fell silent, while the engine worked on. */
  silent_at_work: { blame: 'nobody', again: 'never' },
  /** The worker reported an error of its own within the stream. */
  reported_within: { blame: 'unless_alike', again: 'never' },
  /** The worker reported within the stream that it is busy, or gave up waiting. */
  refused_within: { blame: 'nobody', again: 'never' },
  /** The probes found the worker dead or hung, and nothing more came for the time of grace. */
  lost_within: { blame: 'nobody', again: 'never' },
} as const satisfies Record<string, Verdict>

export type Fault = keyof typeof verdicts

export const faults = Object.keys(verdicts) as readonly Fault[]

export function verdictOn(fault: Fault): Verdict {
  return verdicts[fault]
}
