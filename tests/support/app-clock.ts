import type { Clock } from '../../app/runtime/clock.ts'
import { ManualClock } from './manual-clock.ts'

/** The manual clock in the shape that the router's parts take. */
export class AppClock extends ManualClock implements Clock {
  after(ms: number, fire: () => void): () => void {
    const timer = this.setTimeout(fire, ms)
    return () => this.clearTimeout(timer)
  }

  /** Moves on by `ms` in steps, and lets promises settle after each: for parts whose timers are set by promises. */
  async pass(ms: number, stepMs = ms): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.advance(Math.min(stepMs, left))
      await settled()
    }
  }
}

/** Resolves when every promise that can settle without time or network has settled. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
