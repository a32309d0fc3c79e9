import type { Clock } from '../clock.ts'

/**
 * Calls out when a worker has been silent for too long, while somebody waits for it: the time for which the client is
 * slow does not count. One timer a stream, moved on lazily: setting one anew with each event would cost more than the
 * relaying.
 */
export class SilenceWatch {
  readonly #limitMs: number
  readonly #clock: Clock
  readonly #onSilence: () => void
  #waitingSince: number | undefined
  #cancelTimer: () => void = () => {}

  constructor(limitMs: number, clock: Clock, onSilence: () => void) {
    this.#limitMs = limitMs
    this.#clock = clock
    this.#onSilence = onSilence
    if (limitMs !== Number.POSITIVE_INFINITY) this.#arm(limitMs)
  }

  /** Somebody waits for the worker from now on: its silence counts. */
  begin(): void {
    this.#waitingSince = this.#clock.now()
  }

  /** It has sent something. */
  end(): void {
    this.#waitingSince = undefined
  }

  /** The stream is over. */
  stop(): void {
    this.#cancelTimer()
  }

  #arm(ms: number): void {
    this.#cancelTimer = this.#clock.after(ms, () => {
      const silent = this.#waitingSince === undefined ? 0 : this.#clock.now() - this.#waitingSince
      if (silent >= this.#limitMs) this.#onSilence()
      else this.#arm(this.#limitMs - silent)
    })
  }
}
