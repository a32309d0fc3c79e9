import type { Booking } from './policy.ts'

/** Prompt tokens a second that a worker is taken for before anything has been measured. */
const firstSpeed = 4000
/** Fastest that is believed; a measured time may be that of a few tokens. */
const fastest = 50_000
/** Share of the first prompt in line that is taken for done at most, as long as its first token has not come. */
const mostDone = 0.9
/** A prompt whose first token nobody sees is taken for computed after so many times the time it should take. */
const patience = 1.5
const weight = 1 / 50
/** Tokens and milliseconds below which a time says nothing about the speed. */
const leastTokens = 512
const leastMs = 10

/** How fast a worker of weight 1 computes this router's prompts, learnt from the times to their first tokens. */
export class PrefillSpeed {
  /** Tokens a second. */
  value = firstSpeed

  measured(tokens: number, ms: number): void {
    if (tokens < leastTokens || ms <= leastMs) return
    this.value += (Math.min(fastest, (tokens * 1000) / ms) - this.value) * weight
  }
}

/** What of this router's prompts one worker has still to compute. */
export class OpenPrompts {
  readonly #speed: PrefillSpeed
  readonly #now: () => number
  /** In the order in which they were sent: engines take them first come, first served. */
  readonly #line: OpenPrompt[] = []
  /** Since when the first in line has been computed. */
  #since = 0
  #tokens = 0

  constructor(speed: PrefillSpeed, now: () => number) {
    this.#speed = speed
    this.#now = now
  }

  /** Prompts whose first token has not come. */
  get waiting(): number {
    return this.#line.length
  }

  /**
   * Tokens to be computed before a prompt that is sent now. Changes nothing.
   * @param share of the time of a worker of weight 1 that this router's prompts get: 0 to the worker's weight
   */
  ahead(share: number, now: number): number {
    const overdue = this.#overdue(now)
    const head = overdue === undefined ? this.#line[0] : this.#line[1]
    if (head === undefined) return 0
    // Its computing begins where nobody believes any more that the one before it is still computed.
    if (overdue !== undefined) return this.#tokens - overdue.tokens
    const done = (this.#speed.value * share * (now - this.#since)) / 1000
    return this.#tokens - Math.min(mostDone * head.tokens, done)
  }

  /** Takes the first in line for computed, where nobody sees its first token and its time is up. */
  letPass(now: number): void {
    const overdue = this.#overdue(now)
    if (overdue !== undefined) this.leave(overdue)
  }

  #overdue(now: number): OpenPrompt | undefined {
    const head = this.#line[0]
    if (head === undefined || head.seen) return undefined
    const ms = (patience * 1000 * head.tokens) / (head.pace * this.#speed.value)
    return now - this.#since < ms ? undefined : head
  }

  enter(prompt: OpenPrompt): void {
    if (this.#line.length === 0) this.#since = this.#now()
    this.#line.push(prompt)
    this.#tokens += prompt.tokens
  }

  /** Its first token has come, or none will. Safe to repeat. */
  leave(prompt: OpenPrompt, answered = false): void {
    const at = this.#line.indexOf(prompt)
    if (at === -1) return
    this.#line.splice(at, 1)
    this.#tokens -= prompt.tokens
    const now = this.#now()
    if (at === 0 && answered && prompt.seen)
      this.#speed.measured(prompt.tokens, (now - this.#since) * prompt.pace)
    if (at === 0 || answered) this.#since = Math.max(this.#since, now)
  }
}

export interface OpenPromptOptions {
  readonly open: OpenPrompts
  /** Tokens that the worker must compute for it. */
  readonly tokens: number
  readonly expected: number | undefined
  /** Its first token will be seen when it comes. */
  readonly seen: boolean
  /** How many times as fast as a worker of weight 1 its worker is taken for. */
  readonly pace: number
}

/** One request's part of them. */
export class OpenPrompt implements Booking {
  readonly tokens: number
  readonly expected: number | undefined
  readonly seen: boolean
  readonly pace: number
  readonly #open: OpenPrompts

  constructor({ open, tokens, expected, seen, pace }: OpenPromptOptions) {
    this.tokens = tokens
    this.expected = expected
    this.seen = seen
    this.pace = pace
    this.#open = open
    open.enter(this)
  }

  firstToken(): void {
    this.#open.leave(this, true)
  }

  end(): void {
    this.#open.leave(this)
  }
}
