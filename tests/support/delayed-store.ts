import type { LimitsStore, ShareAnswer, ShareRequest } from '../../policies/limits/limits-store.ts'
import type { AppClock } from './app-clock.ts'

/** A store behind a network: answers take their time, and none come while it is gone. */
export class DelayedStore implements LimitsStore {
  isUp = true
  /** Milliseconds from the question to the answer. */
  delayMs = 1
  /** It takes questions and gives no answers, as one that has just died does. */
  silent = false
  asked = 0
  readonly #store: LimitsStore
  readonly #clock: AppClock

  constructor(store: LimitsStore, clock: AppClock) {
    this.#store = store
    this.#clock = clock
  }

  async exchange(tenant: string, request: ShareRequest): Promise<ShareAnswer> {
    this.asked++
    await new Promise<void>((resolve) => this.#clock.after(this.silent ? 200 : this.delayMs, resolve))
    if (!this.silent) return this.#store.exchange(tenant, request)
    this.isUp = false
    throw new Error('no answer')
  }
}
