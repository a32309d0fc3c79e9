import {
  LateAnswer,
  type LimitsStore,
  type ShareAnswer,
  type ShareRequest,
} from '../../policies/limits/limits-store.ts'
import type { AppClock } from './app-clock.ts'

/** A store behind a network: answers take their time, and none come while it is gone. */
export class DelayedStore implements LimitsStore {
  isUp = true
  /** Milliseconds from the question to the answer. */
  delayMs = 1
  /** It takes questions and gives no answers, as one that has just died does. */
  silent = false
  /** It does what it is asked, and says so half a second too late. */
  late = false
  asked = 0
  readonly #store: LimitsStore
  readonly #clock: AppClock

  constructor(store: LimitsStore, clock: AppClock) {
    this.#store = store
    this.#clock = clock
  }

  async exchange(tenant: string, request: ShareRequest): Promise<ShareAnswer> {
    this.asked++
    if (this.late) {
      const said = await this.#store.exchange(tenant, request)
      await this.#pass(200)
      throw new LateAnswer(
        'late',
        this.#pass(500).then(() => said),
      )
    }
    await this.#pass(this.silent ? 200 : this.delayMs)
    if (!this.silent) return this.#store.exchange(tenant, request)
    this.isUp = false
    throw new Error('no answer')
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.after(ms, resolve))
  }
}
