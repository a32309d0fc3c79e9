import type { Clock } from '../runtime/clock.ts'
import type { Lease } from '../workers/lease.ts'
import { type AskPulse, EnginePulse } from './engine-pulse.ts'
import { SilenceWatch } from './silence-watch.ts'
import type { Fault } from './verdicts.ts'

export interface PatienceOptions {
  readonly lease: Lease
  /** Milliseconds of silence after which the answer is given up. */
  readonly idleMs: number
  readonly pulse: AskPulse
  readonly clock: Clock
  readonly giveUp: (code: 'stream_idle_timeout' | 'worker_lost', fault: Fault) => void
}

/** Silences of a stream while the engine works on: so many times the limit. */
const timesAtWork = 5

/** Milliseconds of silence that a committed answer gets when its worker is known to be dead: what is on its way may come. */
const graceMs = 5000

/** Milliseconds that a worker may leave its answer open when all of it has come. */
const afterEndMs = 1000

/** How long a committed answer waits for its worker: until it falls silent, or is found dead. */
export class Patience {
  readonly #options: PatienceOptions
  readonly #pulse: EnginePulse
  readonly #silence: SilenceWatch
  /** When the worker was found dead. */
  #letGoAt: number | undefined
  #complete = false

  constructor(options: PatienceOptions) {
    this.#options = options
    this.#pulse = new EnginePulse(options.lease.worker, options.pulse)
    this.#silence = new SilenceWatch(options.idleMs, options.clock, {
      onHalf: () => {
        if (!this.#complete && this.#letGoAt === undefined) this.#pulse.begin()
      },
      onSilence: () => void this.#onSilence(),
    })
    options.lease.onLetGo = this.#onLetGo
  }

  readonly #onLetGo = (): void => {
    const { idleMs, clock } = this.#options
    if (this.#letGoAt === undefined) this.#silence.startAnew(Math.min(graceMs, idleMs))
    this.#letGoAt ??= clock.now()
  }

  /** Somebody waits for the worker from now on. */
  begin(): void {
    this.#silence.begin()
  }

  /** Nobody waits for the moment: the client does not read. */
  pause(): void {
    this.#silence.pause()
  }

  /** A sign of life has come just now; the next one is waited for. */
  heard(now: number): void {
    this.#silence.heard(now)
  }

  /** All has come: nothing more is worth waiting for. */
  complete(): void {
    if (this.#complete) return
    this.#complete = true
    this.#silence.startAnew(Math.min(afterEndMs, this.#options.idleMs))
  }

  stop(): void {
    this.#silence.stop()
  }

  async #onSilence(): Promise<void> {
    const { lease, idleMs, giveUp } = this.#options
    if (this.#complete) giveUp('stream_idle_timeout', 'fell_silent')
    else if (this.#letGoAt !== undefined) {
      const { badSince } = lease.worker
      if (badSince !== undefined && badSince <= this.#letGoAt) {
        giveUp('worker_lost', 'lost_within')
        return
      }
      // A probe has found it well again: its stream may go on as before.
      this.#letGoAt = undefined
      this.#silence.startAnew(idleMs)
    } else {
      // A first count cannot be compared: it buys another limit, like one that moves.
      const works = (await this.#pulse.moves()) ?? true
      const { silentMs } = this.#silence
      if (silentMs < idleMs || (works && silentMs < timesAtWork * idleMs)) return
      giveUp('stream_idle_timeout', this.#pulse.hasMoved ? 'silent_at_work' : 'fell_silent')
    }
  }
}
