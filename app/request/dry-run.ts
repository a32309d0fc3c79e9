import type { RouterError } from '../../http/errors.ts'
import type { PriorityClass } from '../../http/tenant.ts'
import type { PassedOver } from './request-view.ts'

/** A request that somebody asks about instead of sending it. */
export interface DryRunRequest {
  /** Path and query, as a client would ask for them. */
  readonly path: string
  /** The client's header fields. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** The client's own bytes: the blocks of a prompt are made of these. */
  readonly body: Uint8Array
  /** Whose limits are asked about too. */
  readonly tenant?: string | undefined
  /** What limits there are, where another process keeps them. */
  readonly limits?: LimitsView | undefined
}

/** An answer of the router's own. */
export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly param: string | null
  /** Seconds. */
  readonly retry_after: number | null
}

/** What would become of a request at the limits of the router. */
export interface LimitsView {
  readonly outcome: 'admitted' | 'waits' | 'refused'
  readonly refused: Refusal | null
  /** Requests that are served now, and how many may be; null: any number. */
  readonly in_flight: number
  readonly max_in_flight: number | null
  /** Of these, how many only requests of the class `high` may be. */
  readonly kept_for_high: number
  /** Requests that wait for their turn, and how many may. */
  readonly waiting: number
  readonly queue_size: number
  /** Its class there. */
  readonly priority: PriorityClass
}

/** A worker that the policy could choose. */
export interface CandidateView {
  readonly id: string
  readonly worker: string
  readonly in_flight: number
}

/** The worker that the policy would choose. */
export interface ChoiceView extends CandidateView {
  /** In a word, as in the metrics; `stored_response`: it alone has what the request is about. */
  readonly why: string
  /** The data-parallel rank; null where there is only one, or where the policy cannot tell. */
  readonly rank: number | null
  /** Of its breaker: with `half_open` the request is the trial, with `open` there is nobody else. */
  readonly breaker: 'closed' | 'open' | 'half_open'
}

/** Where a request would go now, and why. */
export interface DryRun {
  /** Of several processes, the one that says so: each has turns, sessions and beliefs of its own. */
  readonly process?: number
  readonly path: string
  /** `answered`: by the router itself. */
  readonly outcome: 'sent' | 'waits' | 'refused' | 'answered'
  readonly refused: Refusal | null
  readonly model: {
    /** As the request names it; null: it names none. */
    readonly asked: string | null
    /** What goes to the worker: the target of an alias, the next model where nobody has the first one. */
    readonly resolved: string | null
    /** Some worker lists it. */
    readonly listed: boolean
    /** Those that answer in its place, in order. */
    readonly fallbacks: readonly string[]
  }
  readonly stream: boolean
  /** Where the name of its session stands; null where it has none. */
  readonly session: string | null
  /** Blocks that the beginning of its prompt has; null where its policy does not read prompts. */
  readonly prefix_blocks: number | null
  readonly policy: string
  readonly candidates: readonly CandidateView[]
  readonly passed_over: readonly (PassedOver & { readonly id: string })[]
  /** Null where nobody can take it, or where the policy cannot tell. */
  readonly choice: ChoiceView | null
  readonly limits: LimitsView
  /** What the answer leaves out, in sentences. */
  readonly notes: readonly string[]
}

export function refusalOf({ status, code, message, param, retryAfter }: RouterError): Refusal {
  return { status, code, message, param, retry_after: retryAfter ?? null }
}
