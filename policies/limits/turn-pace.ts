/** What a new turn counts for in the mean: about the last 16 turns tell. */
const share = 1 / 8

/** How fast those that wait get their turns, as measured. Times in milliseconds. */
export class TurnPace {
  /** Between one turn and the next; undefined before the first. */
  #meanMs: number | undefined
  #lastAt: number | undefined

  /** Somebody waits, and nobody did. */
  began(now: number): void {
    this.#lastAt = now
  }

  turn(now: number): void {
    const ms = now - (this.#lastAt ?? now)
    this.#meanMs = this.#meanMs === undefined ? ms : this.#meanMs + (ms - this.#meanMs) * share
    this.#lastAt = now
  }

  /** How long so many turns take: no less than it has been since the last one. */
  msFor(turns: number, now: number): number {
    return Math.max(turns * (this.#meanMs ?? 0), now - (this.#lastAt ?? now))
  }
}
