/** Milliseconds that a process must have served for its end to be a single mishap. */
const stableMs = 10_000
const firstMs = 100
const longestMs = 10_000

/** How long to wait before an ended process is replaced: not at all, unless one end follows the other. */
export class RestartDelay {
  #next = 0

  /** @param livedMs how long it had lived */
  after(livedMs: number): number {
    if (livedMs >= stableMs) this.#next = 0
    const delay = this.#next
    this.#next = Math.min(longestMs, Math.max(firstMs, delay * 2))
    return delay
  }
}
