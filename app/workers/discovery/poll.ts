import type { Clock } from '../../runtime/clock.ts'

export interface PollOptions {
  readonly clock: Clock
  /** Uniform in [0, 1): replicas of a router must not ask at the same moment. */
  readonly random: () => number
  readonly intervalMs: number
  /** Milliseconds after which a look that is still going on is reported. */
  readonly timeoutMs: number
  /** Must not throw. */
  readonly look: () => Promise<void>
  readonly late: () => void
}

/** Looks at once, and again each time a look is over and the interval has passed; returns what ends it. */
export function poll({ clock, random, intervalMs, timeoutMs, look, late }: PollOptions): () => void {
  let stopped = false
  let cancelTimer = (): void => {}

  async function turn(): Promise<void> {
    const cancelLate = clock.after(timeoutMs, () => !stopped && late())
    await look()
    cancelLate()
    if (!stopped) cancelTimer = clock.after(intervalMs * (0.9 + 0.2 * random()), () => void turn())
  }

  void turn()
  return () => {
    stopped = true
    cancelTimer()
  }
}
