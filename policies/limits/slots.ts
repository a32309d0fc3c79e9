import type { PriorityClass } from '../../http/tenant.ts'

/** A place among the requests in flight. */
export interface Slot {
  /** Gives the place to the next in line. A second call does nothing. */
  release(): void
}

/** How many requests may be in flight. */
export interface Cap {
  /** At least 1. Default: unlimited. */
  readonly maxConcurrent?: number | undefined
  /** Of these, slots that only requests of the class `high` may take. Default 0. */
  readonly keptForHigh?: number | undefined
}

/**
 * The slots of requests in flight, and for whom there is one. Requests of `normal` and `low` together never have those
 * that are kept for `high`, so that a burst of them leaves it slots to take at once.
 */
export class Slots {
  readonly #onFree: () => void
  #maxConcurrent = Number.POSITIVE_INFINITY
  #keptForHigh = 0
  #inFlight = 0
  /** Of these, requests of `normal` and `low`. */
  #lowerInFlight = 0

  /** @param onFree called when a slot was given back */
  constructor(cap: Cap, onFree: () => void) {
    this.#onFree = onFree
    this.setCap(cap)
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** `undefined` means unlimited. */
  get maxConcurrent(): number | undefined {
    return this.#maxConcurrent === Number.POSITIVE_INFINITY ? undefined : this.#maxConcurrent
  }

  get keptForHigh(): number {
    return this.#keptForHigh
  }

  /** Under a lower cap, those in flight finish. */
  setCap({ maxConcurrent = Number.POSITIVE_INFINITY, keptForHigh = 0 }: Cap): void {
    if (!(maxConcurrent >= 1))
      throw new RangeError(`maxConcurrent must be at least 1, received ${maxConcurrent}`)
    this.#maxConcurrent = Math.floor(maxConcurrent)
    this.#keptForHigh = keptForHigh
  }

  isFreeFor(priority: PriorityClass): boolean {
    if (this.#inFlight >= this.#maxConcurrent) return false
    return priority === 'high' || this.#lowerInFlight < this.#maxConcurrent - this.#keptForHigh
  }

  take(priority: PriorityClass): Slot {
    this.#inFlight++
    if (priority === 'high') return new HeldSlot(this.#giveBack)
    this.#lowerInFlight++
    return new HeldSlot(this.#giveBackOfLower)
  }

  readonly #giveBack = (): void => {
    this.#inFlight--
    this.#onFree()
  }

  readonly #giveBackOfLower = (): void => {
    this.#lowerInFlight--
    this.#giveBack()
  }
}

class HeldSlot implements Slot {
  #giveBack: (() => void) | undefined

  constructor(giveBack: () => void) {
    this.#giveBack = giveBack
  }

  release(): void {
    const giveBack = this.#giveBack
    this.#giveBack = undefined
    giveBack?.()
  }
}
