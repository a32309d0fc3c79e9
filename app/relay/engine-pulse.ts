import type { Worker } from '../workers/worker.ts'

/** Asks a worker for the counters of its engine as one number; undefined when it does not tell them in time. */
export type AskPulse = (worker: Worker) => Promise<number | undefined>

/**
 * Whether a worker's engine works on while one of its streams is silent: a tool parser may hold back all that the model
 * writes for minutes. The counters are the engine's, not the stream's, so that this buys a stream time, but no eternity.
 */
export class EnginePulse {
  readonly #worker: Worker
  readonly #ask: AskPulse
  #before: Promise<number | undefined> | undefined
  /** It has moved during this silence. */
  hasMoved = false

  constructor(worker: Worker, ask: AskPulse) {
    this.#worker = worker
    this.#ask = ask
  }

  /** Takes the count to compare with. */
  begin(): void {
    this.hasMoved = false
    this.#before = this.#ask(this.#worker)
  }

  /**
   * Whether the count has changed since it was taken the last time; undefined where this is the first one, because the
   * worker did not tell before, or because this process was too busy to ask.
   */
  async moves(): Promise<boolean | undefined> {
    const before = this.#before
    this.#before = this.#ask(this.#worker)
    const [then, now] = await Promise.all([before, this.#before])
    if (then === undefined && now !== undefined) return undefined
    const moves = now !== undefined && then !== now
    this.hasMoved ||= moves
    return moves
  }
}
