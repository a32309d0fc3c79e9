const minuteMs = 60_000
/** Amounts are sums of many numbers: what is off by less than this is a rounding. */
const rounding = 1e-6
/** Low points that are remembered; when there are more, neighbors become one, which is taken for lower than it was. */
const mostLows = 64

/**
 * A limit per minute: what was used drains at the limit's rate, and what does not fit on top of it has to wait. The leaky
 * bucket as a meter of ITU-T I.371, annex A; seen from what is left, a token bucket of one minute's worth.
 *
 * The level is kept, not the time at which it will have drained: an amount that was used survives another limit.
 */
export class LeakyBucket {
  #perMinute: number
  #level = 0
  #at = 0
  /**
   * The lowest levels, and when they were: every one is lower than all that follow. What is given back late may have
   * drained in the meantime, as far as the level was low. Two lists of numbers: objects would cost twice as much.
   */
  readonly #lows: number[] = []
  readonly #lowsAt: number[] = []

  /** @param perMinute infinite: no limit, nothing is counted */
  constructor(perMinute = Number.POSITIVE_INFINITY) {
    this.#perMinute = perMinute
  }

  get perMinute(): number {
    return this.#perMinute
  }

  /** From now on; what was used before stays used. */
  setLimit(perMinute: number, now: number): void {
    this.#level = this.level(now)
    this.#at = now
    this.#perMinute = perMinute
  }

  /** What is used up at `now`, in milliseconds of any monotonic clock. */
  level(now: number): number {
    if (this.#level === 0 || this.#perMinute === Number.POSITIVE_INFINITY) return 0
    const level = this.#level - ((now - this.#at) * this.#perMinute) / minuteMs
    return level > rounding ? level : 0
  }

  /** What is left; 0 where more was used than the limit. */
  left(now: number): number {
    return Math.max(0, this.#perMinute - this.level(now))
  }

  /** Uses so much, be there room for it or not; of a negative amount, all is given back. */
  add(amount: number, now: number): void {
    const before = this.level(now)
    this.#change(before, Math.max(0, before + amount), now)
  }

  /** What others have found out about it. */
  set(level: number, now: number): void {
    this.#change(this.level(now), level, now)
  }

  /**
   * Takes back what was added at `since`, and returns how much that was: the level becomes what it would be if that had
   * never been added. What was only able to drain since it stood there is gone, or an idle minute could be saved up.
   */
  takeBack(amount: number, since: number, now: number): number {
    const taken = Math.min(amount, this.least(since, now))
    for (let index = this.#lows.length - 1; index >= 0 && this.#lowsAt[index]! > since; index--)
      this.#lows[index] = Math.max(0, this.#lows[index]! - amount)
    this.#level = this.level(now) - taken
    this.#at = now
    return taken
  }

  /** The lowest level after `since`. */
  least(since: number, now: number): number {
    let least = this.level(now)
    for (let index = this.#lows.length - 1; index >= 0 && this.#lowsAt[index]! > since; index--)
      least = Math.min(least, this.#lows[index]!)
    return least
  }

  /** Milliseconds until so much fits; 0: now. What is more than the whole limit never does, and nothing always fits. */
  waitMs(amount: number, now: number): number {
    if (amount <= 0) return 0
    const over = this.level(now) + amount - this.#perMinute
    return over > rounding ? (over * minuteMs) / this.#perMinute : 0
  }

  #change(before: number, level: number, now: number): void {
    if (this.#perMinute === Number.POSITIVE_INFINITY) return
    this.#noteLow(Math.min(level, before), now)
    this.#level = level
    this.#at = now
  }

  #noteLow(level: number, at: number): void {
    const lows = this.#lows
    const times = this.#lowsAt
    while (lows.length > 0 && lows[lows.length - 1]! >= level) {
      lows.pop()
      times.pop()
    }
    lows.push(level)
    times.push(at)
    if (lows.length < mostLows) return
    for (let index = 0; index < lows.length - 1; index++) {
      times[index] = times[index + 1]!
      lows.splice(index + 1, 1)
      times.splice(index + 1, 1)
    }
  }
}
