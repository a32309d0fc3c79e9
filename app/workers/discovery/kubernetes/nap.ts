import type { Clock } from '../../../runtime/clock.ts'

/** A pause that can be ended early. One sleeper at a time. */
export class Nap {
  readonly #clock: Clock
  #wake: (() => void) | undefined
  #over = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Resolves after `ms`, or when woken. */
  async for(ms: number): Promise<void> {
    if (this.#over) return
    await new Promise<void>((resolve) => {
      const cancelTimer = Number.isFinite(ms) ? this.#clock.after(ms, resolve) : (): void => {}
      this.#wake = () => {
        cancelTimer()
        resolve()
      }
    })
    this.#wake = undefined
  }

  wake(): void {
    this.#wake?.()
  }

  /** Wakes, and lets nobody sleep any more. */
  end(): void {
    this.#over = true
    this.wake()
  }
}
