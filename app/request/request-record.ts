import type { ErrorCode } from '../../http/errors.ts'
import type { RequestTrace } from './request-trace.ts'
import type { PassedOver } from './request-view.ts'
import { Stop } from './stop.ts'

/** Tokens of one answer, as the worker counted them. */
export interface Usage {
  readonly prompt: number
  readonly completion: number
  /** Prompt tokens that the worker had in its prefix cache; undefined where it does not say. */
  readonly cached: number | undefined
}

/** How a client request ended; one closed set for log, metrics and tests. */
export type EndReason =
  | 'completed'
  /** The worker reported an error within its stream. */
  | 'worker_error'
  | ErrorCode

/** An attempt that came to nothing; times in milliseconds on the router's clock. */
export interface FailedAttempt {
  readonly workerId: string
  /** Its URL. */
  readonly worker: string
  readonly why: string | undefined
  readonly outcome: string
  readonly sentAt: number | undefined
  readonly endedAt: number
}

/** Of a header: its name in lower case, and its value. */
export type Field = readonly [name: string, value: string]

/** Characters; longer than any route. */
const longestPath = 256

/** A slice of a text keeps all of it in memory; this does not. */
function beginningOf(path: string): string {
  return Buffer.from(path.slice(0, longestPath)).toString()
}

// Shared: nearly every request has none.
const nobody: readonly PassedOver[] = []
const none: readonly FailedAttempt[] = []

/** What one client request has come to so far; closed exactly once, when its last byte is sent or it fails. */
export class RequestRecord {
  readonly method: string
  /** Its beginning, where it is long: the record is remembered, and anybody may write a path of 64 KB. */
  readonly path: string
  /** Milliseconds on the router's clock. */
  readonly startedAt: number
  /** The same as a time of day, once somebody has looked: it must not change between two looks. */
  shownAt: string | undefined
  requestId = ''
  /** Under which the workers know it, where that is not the same. */
  engineId: string | undefined
  /** When the request must have ended, on the router's clock; undefined: no limit. */
  deadline: number | undefined
  /** The route's pattern, never the client's own path: it becomes a label. */
  route = 'other'
  /** A model that the pool knows, else `unknown`: it becomes a label. */
  model = 'unknown'
  status = 0
  errorCode: ErrorCode | undefined
  /** As the client was told it: no prompts, no keys. */
  errorMessage: string | undefined
  /** Name of the tenant that it comes from, from the configuration; undefined where keys do not tell. */
  tenant: string | undefined
  /** Address of the client, or of the proxy that it came through, where that is none that is believed. */
  client: string | undefined
  requestBytes: number | undefined
  attempts = 0
  /** The model that has answered in place of the one that was asked for. */
  answeredBy: string | undefined
  workerId: string | undefined
  workerUrl: string | undefined
  /** Why the selection policy has chosen it, in a word. */
  why: string | undefined
  /** The client asked for a stream. */
  stream = false
  /** The answer is a committed stream of events. */
  eventStream = false
  /** The body outlives the middleware: whoever streams it calls `end`. */
  live = false
  /** Undefined: the request is not traced. */
  trace: RequestTrace | undefined
  /** Writes the way that it has taken, for a client that may know it; undefined for all others. */
  explain: ((record: RequestRecord, last?: string) => Field) | undefined
  /** Further fields of its answer, whatever that will be. */
  answerFields: readonly Field[] | undefined
  /** Ends the request from outside. */
  readonly stop = new Stop()
  /** Milliseconds on the router's clock. */
  firstTokenAt: number | undefined
  /** Admitted, sent to the worker that has it, answered with a head, ended. */
  admittedAt: number | undefined
  sentAt: number | undefined
  headAt: number | undefined
  endedAt: number | undefined
  /** Milliseconds of workers that were its own: each moment of one is divided by the requests on it. */
  workerMs = 0
  /** Workers that the policy could choose from the last time, and those that it could not. */
  candidates = 0
  passedOver: readonly PassedOver[] = nobody
  /** Attempts that came to nothing. */
  failures: readonly FailedAttempt[] = none
  /** The last attempt is among them. */
  lastFailed = false
  /** Tokens seen in the stream: events that bear content. */
  tokenEvents = 0
  #lastTokenAt = 0
  readonly #onGap: ((seconds: number) => void) | undefined
  usage: Usage | undefined
  endReason: EndReason | undefined
  readonly #listeners: (() => void)[] = []

  /** @param onGap told the seconds between one token and the next */
  constructor(method: string, path: string, startedAt: number, onGap?: (seconds: number) => void) {
    this.#onGap = onGap
    this.method = method
    this.path = path.length > longestPath ? beginningOf(path) : path
    this.startedAt = startedAt
  }

  /** So many tokens have arrived together at `now`. */
  tokens(count: number, now: number): void {
    if (this.firstTokenAt === undefined) this.firstTokenAt = now
    else this.#onGap?.((now - this.#lastTokenAt) / 1000)
    // The others of the same chunk came without any gap.
    for (let extra = 1; extra < count; extra++) this.#onGap?.(0)
    this.tokenEvents += count
    this.#lastTokenAt = now
  }

  /**
   * Tokens of the answer beyond those events: a worker puts several that come fast into one, without any gap. Only the
   * usage at the end tells.
   */
  merged(count: number): void {
    for (let extra = 0; extra < count; extra++) this.#onGap?.(0)
  }

  /** An attempt has come to nothing; another may follow. */
  attemptFailed(attempt: FailedAttempt): void {
    this.failures = [...this.failures, attempt]
    this.lastFailed = true
  }

  /** Calls `listener` once, at the end. */
  onEnd(listener: () => void): void {
    if (this.endReason !== undefined) listener()
    else this.#listeners.push(listener)
  }

  /** The first call counts, later ones change nothing. */
  end(reason: EndReason): void {
    if (this.endReason !== undefined) return
    this.endReason = reason
    // The record is remembered for a while; what hangs on its end is not to be.
    for (const listener of this.#listeners.splice(0)) listener()
  }
}
