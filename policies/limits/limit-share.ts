import { LeakyBucket } from './leaky-bucket.ts'

/** Of the limit: what a process takes ahead, at least and at most. The first is a second's worth. */
export const aheadShare = { least: 1 / 60, most: 1 / 20 } as const
/** Requests whose average is taken ahead where it is more than the least. */
const aheadRequests = 2
/** How much the newest request counts in that average. */
const newest = 0.1
const rounding = 1e-6

/**
 * What one process holds of one limit per minute: points that the store has granted ahead, and what is known of the use by
 * all processes together. Without a limit it holds nothing.
 */
export class LimitShare {
  /** Granted and not spent yet; negative: spent and not told yet. */
  #points = 0
  /** Of a request. */
  #mean: number
  /** As the store has said last. */
  readonly #ofAll = new LeakyBucket()

  /** @param mean what a request is taken for before there has been any */
  constructor(mean: number) {
    this.#mean = mean
  }

  get isEmpty(): boolean {
    return this.#points === 0
  }

  covers(amount: number, limit: number): boolean {
    return this.#points + rounding >= amount || limit === Number.POSITIVE_INFINITY
  }

  /** More or less is held than there should be: the store is to be told. */
  isUneven(limit: number): boolean {
    if (limit === Number.POSITIVE_INFINITY) return false
    const ahead = this.#ahead(limit)
    return this.#points < ahead / 2 || this.#points > ahead * 2
  }

  spend(amount: number): void {
    this.#points -= amount
    this.#mean += (amount - this.#mean) * newest
  }

  /**
   * A request that had spent something at `since` has used so much more; negative: less. Less is given back as far as it
   * has not drained since, in all processes together (`LeakyBucket.takeBack`).
   *
   * @param isInformed the store has said what all have used
   */
  settle(more: number, since: number, now: number, isInformed: boolean): void {
    const most = isInformed ? Math.max(0, this.#ofAll.least(since, now) - this.#held) : -more
    this.#points -= Math.max(more, -most)
  }

  /** By all processes, what this one holds and has not spent left out. */
  used(now: number): number {
    return Math.max(0, this.#ofAll.level(now) - this.#held)
  }

  /** Milliseconds until so much fits, by what the store has said last. */
  waitMs(amount: number, now: number): number {
    return this.#ofAll.waitMs(amount - this.#held, now)
  }

  /**
   * What is to be told and asked; what is charged or given back leaves the share at once.
   *
   * @param waiting what requests wait for
   * @param isQuiet nothing is to be held ahead
   * @param spent by this process, and not drained yet
   */
  exchange(
    limit: number,
    waiting: number,
    isQuiet: boolean,
    spent: number,
  ): { charge: number; want: number } {
    const points = this.#points
    if (limit === Number.POSITIVE_INFINITY) {
      this.#points = 0
      return { charge: 0, want: 0 }
    }
    const ahead = isQuiet ? 0 : this.#ahead(limit)
    const needed = ahead + waiting
    if (points < 0) {
      this.#points = 0
      // What was used while the store was gone has drained since.
      return { charge: Math.min(-points, spent), want: Math.ceil(needed) }
    }
    if (points > needed + ahead) {
      this.#points = needed
      return { charge: needed - points, want: 0 }
    }
    return { charge: 0, want: Math.max(0, Math.ceil(needed - points)) }
  }

  /** The store did not hear of it. */
  unsaid(charge: number): void {
    this.#points -= charge
  }

  /** It did hear, as is known now. */
  saidAfterAll(charge: number, granted: number): void {
    this.#points += charge + granted
  }

  answered(granted: number, used: number, limit: number, now: number): void {
    this.#points += granted
    if (this.#ofAll.perMinute !== limit) this.#ofAll.setLimit(limit, now)
    this.#ofAll.set(used, now)
  }

  get #held(): number {
    return Math.max(0, this.#points)
  }

  /** What is to be held beyond the next requests. */
  #ahead(limit: number): number {
    const wanted = Math.min(limit * aheadShare.most, this.#mean * aheadRequests)
    return Math.floor(Math.max(limit * aheadShare.least, wanted))
  }
}
