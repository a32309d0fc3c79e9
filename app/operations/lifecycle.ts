import { type Clock, within } from '../runtime/clock.ts'
import type { Accounting } from '../telemetry/accounting.ts'

export interface LifecycleOptions {
  readonly accounting: Accounting
  readonly clock: Clock
  /** Milliseconds for which new requests are still taken after the order to drain. */
  readonly settleMs: number
  /** Milliseconds from the order to drain until what still runs is ended; the settle time is part of it. */
  readonly graceMs: number
}

/** Milliseconds for the last events of ended streams to reach their clients. */
const farewellMs = 500

/** Short extra waits before requests are refused, so that connections in the accept queue are still served. */
const turns = 4
const turnMs = 25

/**
 * The order in which a router stops: not ready at once, new requests still taken until load balancers have noticed, then
 * no more, and what runs may finish until the grace time is over.
 */
export class Lifecycle {
  #options: LifecycleOptions
  #draining = false
  #refusing = false
  #drained: Promise<number> | undefined

  constructor(options: LifecycleOptions) {
    this.#options = options
  }

  /** Takes over other times, for a drain that has not begun. */
  reconfigure(changes: Pick<LifecycleOptions, 'settleMs' | 'graceMs'>): void {
    this.#options = { ...this.#options, ...changes }
  }

  /** Readiness says no. */
  get draining(): boolean {
    return this.#draining
  }

  /** New requests are turned away. */
  get refusing(): boolean {
    return this.#refusing
  }

  /**
   * Resolves when nothing runs any more, with the milliseconds that are left of the grace time. `stopAccepting` is
   * called once, between settling and waiting; a promise of its is waited for.
   */
  drain(stopAccepting: () => unknown, settle = true): Promise<number> {
    this.#drained ??= this.#drain(stopAccepting, settle ? this.#options.settleMs : 0)
    return this.#drained
  }

  async #drain(stopAccepting: () => unknown, settleMs: number): Promise<number> {
    const { accounting, clock, graceMs } = this.#options
    const deadline = clock.now() + graceMs
    this.#draining = true
    await settled(clock, Math.min(settleMs, graceMs))
    await stopAccepting()
    // What was accepted at the last moment is still to be read, and is served.
    if (settleMs > 0 && deadline - clock.now() > turns * turnMs) await inTurns(clock, turnMs)
    this.#refusing = true
    const idle = new Promise<void>((resolve) => accounting.onIdle(resolve))
    const inTime = await isWithin(clock, Math.max(0, deadline - clock.now()), idle)
    if (!inTime) {
      accounting.stopAll('draining')
      await isWithin(clock, farewellMs, idle)
    }
    return Math.max(0, deadline - clock.now())
  }
}

/**
 * Resolves after `ms`, the last of them in small pieces. Where the process had no turn for the whole time, its timer comes
 * before the requests that have arrived meanwhile: between two timers they are accepted, then read.
 */
function settled(clock: Clock, ms: number): Promise<void> {
  if (ms === 0) return Promise.resolve()
  const turn = Math.min(turnMs, ms / 10)
  return new Promise((resolve) => {
    clock.after(ms - turns * turn, () => void inTurns(clock, turn).then(resolve))
  })
}

function inTurns(clock: Clock, turn: number): Promise<void> {
  return new Promise((resolve) => {
    const next = (left: number): void => {
      if (left === 0) resolve()
      else clock.after(turn, () => next(left - 1))
    }
    next(turns)
  })
}

function isWithin(clock: Clock, ms: number, promise: Promise<void>): Promise<boolean> {
  return within(clock, ms, promise).then(
    () => true,
    () => false,
  )
}
