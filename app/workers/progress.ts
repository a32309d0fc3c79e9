import { sumOf } from './worker-metrics.ts'

/** Counters of vLLM that move whenever its engine does anything for any request. */
const heartbeats = ['vllm:iteration_tokens_total_count', 'vllm:generation_tokens_total']

/**
 * Tells a busy engine from a hung one, whose `/health` still answers 200: requests in flight, and none of vLLM's own
 * counters moves. Off as long as a worker does not expose them.
 */
export class ProgressWatch {
  readonly #graceMs: () => number
  readonly #now: () => number
  #last: number | undefined
  #movedAt: number

  /**
   * @param graceMs how long everything may stand still
   * @param now milliseconds, monotonic
   */
  constructor(graceMs: () => number, now: () => number) {
    this.#graceMs = graceMs
    this.#now = now
    this.#movedAt = now()
  }

  /** There is nothing to make progress on, or no way to see it. */
  rest(): void {
    this.#movedAt = this.#now()
    this.#last = undefined
  }

  /**
   * @param metrics the worker's metrics in Prometheus text, while it has requests in flight
   * @param quietSince since when these wait without a sign of life. The first count cannot be compared with another, but
   *   where the second one is the same, they have waited in vain since then, and not only since the first look.
   */
  isStalled(metrics: string, quietSince: number): boolean {
    const count = heartbeat(metrics)
    if (count === undefined) {
      this.rest()
      return false
    }
    if (count !== this.#last) this.#movedAt = this.#last === undefined ? quietSince : this.#now()
    const first = this.#last === undefined
    this.#last = count
    return !first && this.#now() - this.#movedAt >= this.#graceMs()
  }
}

/** Sum of the counters that any work of the engine moves; undefined where the worker has none of them. */
export function heartbeat(metrics: string): number | undefined {
  const counts = heartbeats.map((name) => sumOf(metrics, name)).filter((count) => count !== undefined)
  return counts.length === 0 ? undefined : counts.reduce((sum, count) => sum + count)
}
