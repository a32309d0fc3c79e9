/** First and longest pause in milliseconds of a worker that names none itself. */
const firstPauseMs = 250
const longestPauseMs = 5000
/** The longest that a worker may name. */
export const longestRetryAfterMs = 60_000

/**
 * A worker that refuses work because it is busy stands back: others are asked first. It is not sick, and nobody blames
 * it.
 *
 * It says itself for how long (`Retry-After`), or the pause is ours: it doubles with each further refusal, is jittered
 * so that routers do not come back together, and ends with the first success. When it is over, one request finds out
 * whether there is room again, and the next one only after another pause, unless the first has succeeded.
 */
export class StandBack {
  readonly #now: () => number
  readonly #random: () => number
  #until = 0
  #pauseMs = 0
  #refusals = 0
  /** A request finds out whether there is room again. */
  #trying = false

  constructor(now: () => number, random: () => number) {
    this.#now = now
    this.#random = random
  }

  /** It has refused and has not been seen to take a request since. */
  get known(): boolean {
    return this.#pauseMs > 0
  }

  /** Others go first. */
  get active(): boolean {
    return this.#pauseMs > 0 && this.#now() < this.#until
  }

  /** Milliseconds until it is worth asking. */
  get remainingMs(): number {
    return Math.max(0, this.#until - this.#now())
  }

  /** How often it has refused: a success counts only where it was asked after the last refusal. */
  get refusals(): number {
    return this.#refusals
  }

  /** @param wantedMs what the worker itself asked for; 0 when it said nothing */
  refused(wantedMs: number): void {
    this.#refusals += 1
    // Refusals of requests that were sent together are one.
    if (wantedMs === 0 && this.active && !this.#trying) return
    this.#trying = false
    if (this.#pauseMs === 0) this.#pauseMs = firstPauseMs
    // A worker that says when to come again needs no guess of ours.
    else if (wantedMs === 0) this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs)
    const ms = wantedMs === 0 ? this.#jittered() : Math.min(wantedMs, longestRetryAfterMs)
    this.#until = Math.max(this.#until, this.#now() + ms)
  }

  /** A request goes to it: where its pause is over, the next one waits for another. */
  asked(): void {
    if (this.#pauseMs === 0 || this.active) return
    this.#trying = true
    this.#until = this.#now() + this.#jittered()
  }

  /** It has room again. */
  end(): void {
    this.#pauseMs = 0
    this.#until = 0
  }

  #jittered(): number {
    return this.#pauseMs * (0.8 + 0.4 * this.#random())
  }
}

/** Of workers that are all busy, the one that will be asked first by its own word or by its pause. */
export function soonest<W extends { readonly standBack: StandBack }>(busy: readonly W[]): W[] {
  const left = ({ standBack }: W) => standBack.remainingMs
  return busy.length < 2
    ? [...busy]
    : [busy.reduce((best, worker) => (left(worker) < left(best) ? worker : best))]
}
