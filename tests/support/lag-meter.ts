/**
 * How much later than asked this process gets its turn: what a machine that has other things to do adds to every time
 * that a test measures. Limits of a few milliseconds are asserted with it as an allowance; a stall of the router is not
 * in it, for that is another process.
 */

import { percentile } from './percentile.ts'
import type { Scope } from './scope.ts'

const everyMs = 5

export interface LagMeter {
  /** Milliseconds, the longest so far. */
  readonly worst: number
  /** The longest until that time, by `performance.now()`. */
  worstUntil(time: number): number
  /** The lag that so large a share (0 to 1) of its turns did not exceed. */
  percentile(share: number): number
}

export function startLagMeter(t: Scope): LagMeter {
  const lags: { readonly at: number; readonly ms: number }[] = []
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    lags.push({ at: last, ms: now - last - everyMs })
    last = now
  }, everyMs)
  t.after(() => clearInterval(timer))
  const worstUntil = (time: number): number =>
    lags.reduce((worst, { at, ms }) => (at <= time ? Math.max(worst, ms) : worst), 0)
  return {
    worstUntil,
    percentile: (share) =>
      Math.max(
        0,
        percentile(
          lags.map(({ ms }) => ms),
          share,
        ) || 0,
      ),
    get worst() {
      return worstUntil(Number.POSITIVE_INFINITY)
    },
  }
}
