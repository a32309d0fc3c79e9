import type { Clock } from '../runtime/clock.ts'
import type { Pool } from './pool.ts'
import type { Worker } from './worker.ts'

/** Milliseconds without a sign of life after which nothing more is expected of a worker that the probes have given up. */
const quietMs = 2000
/** Milliseconds for which no probe may have found anything good: a worker that comes and goes is not dead. */
const badMs = 1500
/** Milliseconds between two looks at such a worker that still has requests. */
const lookMs = 500

/**
 * Lets the requests go that wait on a worker which is known to be dead or hung: nothing would end them otherwise, as
 * vLLM keeps their connections open when its engine is gone.
 *
 * Known means: its probes find nobody listening, nobody answering, or nothing moving, and nothing has come from it for
 * two seconds. A worker that says itself that it is not well still answers. When most workers stop answering their
 * probes at once, the probes are more likely at fault than the workers, and nothing is let go.
 */
export class LetGo {
  readonly #pool: Pool
  readonly #clock: Clock
  readonly #watched = new Set<Worker>()

  constructor(pool: Pool, clock: Clock) {
    this.#pool = pool
    this.#clock = clock
  }

  /** Its health has changed. */
  healthChanged(worker: Worker): void {
    if (worker.health.name !== 'unhealthy' || this.#watched.has(worker)) return
    this.#watched.add(worker)
    this.#look(worker)
  }

  #look(worker: Worker): void {
    if (worker.health.name !== 'unhealthy' || worker.inFlight === 0) {
      this.#watched.delete(worker)
      return
    }
    if (this.#isDead(worker)) worker.letGo()
    this.#clock.after(lookMs, () => this.#look(worker))
  }

  #isDead({ health, silentMs, badSince }: Worker): boolean {
    if (health.name !== 'unhealthy' || health.cause === 'status' || silentMs < quietMs) return false
    if (badSince === undefined || this.#clock.now() - badSince < badMs) return false
    return health.cause !== 'silent' || !this.#pool.isInPanic
  }
}
