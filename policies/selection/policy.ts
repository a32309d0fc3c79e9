/** What a selection policy may know of a worker: plain facts, current at the moment of the call. */
export interface Candidate {
  /** Stable name, unique in the pool; the same URL has the same id in every router. */
  readonly id: string
  /** Grows with each registration; candidates always arrive in this order. */
  readonly ordinal: number
  /** Requests that this router has open on the worker now: exact and instant. */
  readonly inFlight: number
  /** How much of the work it should get, beside others: above 0, 1 where nobody has said. */
  readonly weight: number
  /** What the worker's own metrics said last. Undefined: it has not been asked, or does not say. */
  readonly engine?: EngineFacts | undefined
}

/** A worker's own metrics, beside what this router had open on it at the same moment. */
export interface EngineFacts {
  /** When they were read, in milliseconds on the router's clock. */
  readonly at: number
  /** Requests of this router. */
  readonly own: number
  /** Requests of others that run or wait. */
  readonly foreign: number
  /** Those of them that wait for their prefill. */
  readonly foreignWaiting: number
  /** Prompt tokens looked for in the prefix cache since the engine started, and those found. */
  readonly cacheQueries: number | undefined
  readonly cacheHits: number | undefined
  /** Tokens that the KV cache holds. */
  readonly cacheTokens: number | undefined
}

/** The beginning of a prompt as a chain of blocks: equal numbers mean that everything up to there is equal. */
export interface PromptChain {
  /** Bytes of the whole request, from which its tokens are estimated. */
  readonly bytes: number
  /** One number for each whole block. */
  readonly blocks: ArrayLike<number>
  /** Bytes of the first `count` blocks. */
  bytesOf(count: number): number
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
  /** Its first token will be seen: it streams. */
  readonly stream?: boolean
  /** For policies that read prompts. Undefined where there is none, or where it is too short for one block. */
  readonly prompt?: PromptChain | undefined
  /** For policies that read sessions: what the client calls its session, user or tenant. */
  readonly session?: string | undefined
}

/** Why a worker was chosen, in a word: a label of metrics. */
export type Why = 'turn' | 'load' | 'session' | 'affinity' | 'index' | 'spill' | 'custom'

/** What a policy keeps of a request for as long as it is open. */
export interface Booking {
  /** Share of the prompt that the worker was believed to hold, 0 to 1; undefined where nobody guessed. */
  readonly expected?: number | undefined
  /** The worker has answered with content: its prompt has been computed. */
  firstToken(): void
  /** The request is over, whatever came of it. */
  end(): void
}

/**
 * Chooses one worker among those that may take the request now.
 *
 * Synchronous, no I/O, no log: choosing and counting is one step, so that two requests can never both see the state
 * before either of them. `candidates` is never empty and holds available workers only;
 * the array is the pool's own and serves many requests: never change it. Candidates that nothing tells apart take turns:
 * a policy that gives every tie to the first one leaves the others idle.
 */
export interface SelectionPolicy {
  select<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C
  /** What it wants to know of each request; nothing of it is made for a policy that does not ask. */
  readonly reads?: { readonly prompt?: boolean; readonly session?: boolean; readonly engine?: boolean }
  /**
   * The candidate that `select` would return now, for an operator who asks: the next choices are made as if nobody had
   * asked. Undefined, or not there: the policy cannot tell.
   */
  preview?<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C | undefined
  /** Why the last choice was made, or would be, after a preview. Default: `custom`. */
  readonly why?: Why
  /** The worker that was chosen last gets the request: called in the same step. */
  book?(candidate: Candidate, request: SelectionRequest): Booking
  /** How many tokens the prompt of a request for this model, of so many bytes, has had. */
  counted?(model: string | undefined, bytes: number, tokens: number): void
  /** A worker is gone, or has lost what it held. */
  forget?(id: string): void
  /** A client says that its session is over. */
  finish?(session: string): void
}

/** What a policy may use instead of the globals, and what operators have set. */
export interface SelectionContext {
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Milliseconds, monotonic. */
  readonly now: () => number
  readonly settings: SelectionSettings
}

export interface SelectionSettings {
  /** Share of the prompt, 0 to 1, from which on a worker counts as holding it. */
  readonly cacheThreshold: number
  /** A lead over the least loaded worker above both: load alone decides. Requests, and a multiple. */
  readonly balanceAbs: number
  readonly balanceRel: number
  /** Milliseconds between two evictions from the index; in between it may be a tenth too large. */
  readonly evictionMs: number
  /** Largest part of the index for one worker, in bytes of prompts. */
  readonly maxTreeSize: number
  /** Milliseconds after its last request for which a session keeps its worker. */
  readonly sessionMs: number
}
