/**
 * How much later than asked this process gets its turn: what a machine that has other things to do adds to every time
 * that a test measures. Limits of a few milliseconds are asserted with it as an allowance; a stall of the router is not
 * in it, for that is another process.
 */

import type { Scope } from './scope.ts'

const everyMs = 5

export interface LagMeter {
  /** Milliseconds, the longest so far. */
  readonly worst: number
}

export function startLagMeter(t: Scope): LagMeter {
  let worst = 0
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    worst = Math.max(worst, now - last - everyMs)
    last = now
  }, everyMs)
  t.after(() => clearInterval(timer))
  return {
    get worst() {
      return worst
    },
  }
}
