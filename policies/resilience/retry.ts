import { ExponentialBackoff, type IBackoff } from 'cockatiel'

export interface RetryOptions {
  /** Attempts in all, the first included. */
  readonly maxAttempts: number
  readonly initialBackoffMs: number
  readonly maxBackoffMs: number
  readonly multiplier: number
  /** Share of the delay that chance may add or take away, 0..1. */
  readonly jitter: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** Statuses of a worker's own answer that another worker may do better: it is busy, restarting or broken. */
export function isRetryableStatus(status: number): boolean {
  return status === 408 || status === 429 || status >= 500
}

/**
 * The delays between rounds, in milliseconds: only for when every worker has been tried; an untried one is tried at once.
 *
 * The sequence is cockatiel's; its retry policy is not used, because its delay does not end when the client leaves and
 * the function it repeats cannot say that another worker is at hand.
 */
export function backoffDelays({
  initialBackoffMs,
  maxBackoffMs,
  multiplier,
  jitter,
  random,
}: RetryOptions): () => number {
  const factory = new ExponentialBackoff<number>({
    initialDelay: initialBackoffMs,
    maxDelay: maxBackoffMs,
    exponent: multiplier,
    generator: (round = 0, { initialDelay, maxDelay, exponent }) => {
      const delay = Math.min(maxDelay, initialDelay * exponent ** round)
      return [delay * (1 + jitter * (2 * random() - 1)), round + 1]
    },
  })
  let backoff: IBackoff<unknown> | undefined
  return function nextDelay() {
    backoff = backoff === undefined ? factory.next() : backoff.next(undefined)
    return backoff.duration
  }
}
