import type { Clock } from '../runtime/clock.ts'

export interface SilenceEvents {
  /** Half of the limit is over: time to prepare what `onSilence` wants to know. */
  readonly onHalf?: () => void
  /** The limit is over. It is called again after another limit, unless the watch is stopped. */
  readonly onSilence: () => void
}

/**
 * An idle timeout that counts only while somebody waits, so that a slow client never trips it. One timer per stream,
 * armed again lazily: to reset it with each event would cost more than to relay the event.
 */
export class SilenceWatch {
  readonly #clock: Clock
  readonly #events: SilenceEvents
  #limitMs: number
  #waitingSince: number | undefined
  /** Silence that somebody waited through before. */
  #silentMs = 0
  #toldHalf = false
  #cancelTimer: () => void = () => {}

  constructor(limitMs: number, clock: Clock, events: SilenceEvents) {
    this.#limitMs = limitMs
    this.#clock = clock
    this.#events = events
    this.#arm()
  }

  /** Milliseconds of silence so far. */
  get silentMs(): number {
    const waiting = this.#waitingSince === undefined ? 0 : this.#clock.now() - this.#waitingSince
    return this.#silentMs + waiting
  }

  /** Somebody waits for the worker from now on: its silence counts. */
  begin(): void {
    this.#waitingSince = this.#clock.now()
  }

  /** Nobody waits for the moment; the silence so far is kept. */
  pause(): void {
    this.#silentMs = this.silentMs
    this.#waitingSince = undefined
  }

  /** It has sent something, just now, and is waited for again. */
  heard(now: number): void {
    this.#waitingSince = now
    this.#silentMs = 0
    this.#toldHalf = false
  }

  /** From now on so many milliseconds are waited through, those before not counted. */
  startAnew(limitMs: number): void {
    this.#limitMs = limitMs
    if (this.#waitingSince !== undefined) this.begin()
    this.#silentMs = 0
    this.#toldHalf = false
    this.#arm()
  }

  /** The stream is over. */
  stop(): void {
    this.#cancelTimer()
    this.#limitMs = 0
  }

  #arm(): void {
    // What is told of a silence may have armed it anew.
    this.#cancelTimer()
    if (this.#limitMs === Number.POSITIVE_INFINITY) return
    const silent = this.silentMs
    const half = this.#events.onHalf !== undefined && !this.#toldHalf && silent < this.#limitMs / 2
    const next = half ? this.#limitMs / 2 : this.#limitMs
    this.#cancelTimer = this.#clock.after(silent < next ? next - silent : next, () => this.#look())
  }

  #look(): void {
    const silent = this.silentMs
    if (silent >= this.#limitMs) {
      this.#events.onSilence()
    } else if (silent >= this.#limitMs / 2 && !this.#toldHalf) {
      this.#toldHalf = true
      this.#events.onHalf?.()
    }
    if (this.#limitMs > 0) this.#arm()
  }
}
