import type { RouterError } from '../../http/errors.ts'
import type { Standing } from '../../http/priority.ts'
import { AdmissionQueue, type AdmissionQueueOptions } from '../../policies/limits/admission-queue.ts'
import { ManualClock } from './manual-clock.ts'

/** One request that had its turn; times in milliseconds. */
export interface Turn {
  readonly standing: Standing
  readonly at: number
  readonly waitedMs: number
  /** Turns that others had had when it came. */
  readonly turnsBefore: number
}

/** One request that was refused. */
export interface Refused {
  readonly standing: Standing
  readonly at: number
  readonly error: RouterError
}

/** Requests of equal length on a queue, in time that is turned by hand, one millisecond after the other. */
export class QueueLoad {
  readonly queue: AdmissionQueue
  readonly turns: Turn[] = []
  readonly refused: Refused[] = []
  readonly #clock = new ManualClock()
  readonly #serviceMs: number

  constructor(serviceMs: number, options: AdmissionQueueOptions) {
    this.#serviceMs = serviceMs
    this.queue = new AdmissionQueue({ ...options, clock: this.#clock })
  }

  get now(): number {
    return this.#clock.now()
  }

  /** @param ended called when it has been served, or refused */
  arrive(standing: Standing, ended?: () => void): void {
    const at = this.now
    const turnsBefore = this.turns.length
    void Promise.resolve(this.queue.enter(new AbortController().signal, standing)).then(
      (slot) => {
        this.turns.push({ standing, at, waitedMs: this.now - at, turnsBefore })
        this.#clock.setTimeout(() => {
          slot.release()
          ended?.()
        }, this.#serviceMs)
      },
      (error: RouterError) => {
        this.refused.push({ standing, at, error })
        ended?.()
      },
    )
  }

  /** A client that sends one request after the other, for ever. */
  client(standing: Standing): void {
    this.arrive(standing, () => this.client(standing))
  }

  /** @param each called before each millisecond */
  async run(ms: number, each?: (now: number) => void): Promise<void> {
    for (let step = 0; step < ms; step++) {
      each?.(this.now)
      await settled()
      this.#clock.advance(1)
      await settled()
    }
  }

  /** Share of the turns since then that each tenant had. */
  shares(since = 0): Record<string, number> {
    const counted = this.turns.slice(since)
    const shares: Record<string, number> = {}
    for (const { standing } of counted) {
      const tenant = standing.tenant ?? 'nobody'
      shares[tenant] = (shares[tenant] ?? 0) + 1 / counted.length
    }
    return shares
  }
}

/** Promises of the queue settle within a few microtasks. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
}
