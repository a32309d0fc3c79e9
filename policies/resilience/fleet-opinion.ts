/** Milliseconds for which a fault is remembered. */
const memoryMs = 30_000

/**
 * The second opinion on faults of committed streams. No other worker may try the same request any more, but others have
 * streams too: what two workers do alike within half a minute is more likely in the requests than in the workers, and
 * one client must not open the breakers of a fleet with it. A worker that is alone with a fault is to blame for it.
 */
export class FleetOpinion {
  readonly #now: () => number
  /** By fault, then by worker: when it was last seen there. */
  readonly #seen = new Map<string, Map<string, number>>()

  /** @param now milliseconds, monotonic */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Takes note that the worker has shown the fault; true when no other has shown it lately. */
  isAlone(workerId: string, fault: string): boolean {
    const now = this.#now()
    let workers = this.#seen.get(fault)
    if (workers === undefined) {
      workers = new Map()
      this.#seen.set(fault, workers)
    }
    let alone = true
    for (const [id, at] of workers) {
      if (now - at > memoryMs) workers.delete(id)
      else if (id !== workerId) alone = false
    }
    workers.set(workerId, now)
    return alone
  }
}
