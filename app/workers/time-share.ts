/**
 * Divides the time of a worker among the requests that it has: each moment goes in equal parts to those that are there.
 * The shares of all requests add up to the time in which there was one. Times in milliseconds; each step is O(1).
 */
export class TimeShare {
  #requests = 0
  #at = 0
  /** What a request has had that has been there all the time. */
  #each = 0

  /** @returns what `leave` wants */
  enter(now: number): number {
    this.#goOnTo(now)
    this.#requests++
    return this.#each
  }

  /** The share of the request that got this number when it came. */
  leave(entered: number, now: number): number {
    this.#goOnTo(now)
    this.#requests--
    return this.#each - entered
  }

  #goOnTo(now: number): void {
    if (this.#requests > 0) this.#each += (now - this.#at) / this.#requests
    this.#at = now
  }
}
