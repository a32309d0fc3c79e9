// Imported, because the global one is a getter on Node, called for each token.
import { performance } from 'node:perf_hooks'

/** Time as a parameter: tests turn it by hand where seconds matter. */
export interface Clock {
  /** Milliseconds, monotonic, from an arbitrary start. */
  now(): number
  /** Calls `fire` once after `ms`; returns what takes it back. */
  after(ms: number, fire: () => void): () => void
}

/** Longest delay setTimeout takes; a longer one would fire at once. */
const maxDelayMs = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, fire) {
    const timer = setTimeout(fire, Math.min(ms, maxDelayMs))
    return () => clearTimeout(timer)
  },
}

/** Settles as `promise` does; rejects with `late()` when that takes more than `ms` milliseconds. */
export async function within<T>(
  clock: Clock,
  ms: number,
  promise: Promise<T>,
  late: () => Error = () => new Error(`not within ${ms} ms`),
): Promise<T> {
  const timeout = Promise.withResolvers<never>()
  const cancelTimer = clock.after(ms, () => timeout.reject(late()))
  try {
    return await Promise.race([promise, timeout.promise])
  } finally {
    cancelTimer()
  }
}
