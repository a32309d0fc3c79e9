import type { Candidate, EngineFacts } from './policy.ts'

/** Milliseconds between two readings. */
const roundMs = 1000
/** Milliseconds for which a worker's own word counts fully, and after which it counts for nothing. */
const freshMs = 5000
const staleMs = 15_000
/** Weight of one reading in the share of others. */
const shareWeight = 1 / 20

/** The counters of one engine as they were read last. */
interface Counters {
  readAt: number
  queries: number
  hits: number
}

/** How much a worker's own word counts at this age, 0 to 1. Without it the router believes that it is alone. */
export function freshness({ at }: EngineFacts, now: number): number {
  return Math.min(1, Math.max(0, (staleMs - (now - at)) / (staleMs - freshMs)))
}

/** What the workers' own metrics say of everybody's requests together, read once a second out of what probes have found. */
export class FleetView {
  readonly #now: () => number
  readonly #counters = new Map<string, Counters>()
  #roundAt = Number.NEGATIVE_INFINITY
  /** Share of the fleet's requests that are not this router's, 0 to 1. */
  foreignShare = 0
  /** Share of all prompt tokens that the workers did not find in their caches. */
  missShare = 1

  constructor(now: () => number) {
    this.#now = now
  }

  /** As it is now: what the copy reads, this one does not learn. */
  copy(): FleetView {
    const copy = new FleetView(this.#now)
    for (const [id, counters] of this.#counters) copy.#counters.set(id, { ...counters })
    copy.#roundAt = this.#roundAt
    copy.foreignShare = this.foreignShare
    copy.missShare = this.missShare
    return copy
  }

  /** @param meanTokens of this router's prompts */
  read(candidates: readonly Candidate[], meanTokens: number): void {
    const now = this.#now()
    if (now - this.#roundAt < roundMs) return
    this.#roundAt = now
    let own = 0
    let foreign = 0
    let queries = 0
    let hits = 0
    for (const { id, engine } of candidates) {
      if (engine === undefined) continue
      own += engine.own
      foreign += engine.foreign
      const last = this.#lastOf(id)
      if (engine.at <= last.readAt) continue
      last.readAt = engine.at
      const { cacheQueries = 0, cacheHits = 0 } = engine
      // Smaller than before: the engine was started anew.
      if (cacheQueries > last.queries && cacheHits >= last.hits) {
        queries += cacheQueries - last.queries
        hits += cacheHits - last.hits
      }
      last.queries = cacheQueries
      last.hits = cacheHits
    }
    if (own + foreign > 0) this.foreignShare += (foreign / (own + foreign) - this.foreignShare) * shareWeight
    if (queries > 0) {
      const newest = 1 - hits / queries
      this.missShare += (newest - this.missShare) * Math.min(1, queries / (100 * meanTokens))
    }
  }

  forget(id: string): void {
    this.#counters.delete(id)
  }

  #lastOf(id: string): Counters {
    let last = this.#counters.get(id)
    if (last === undefined) {
      last = { readAt: Number.NEGATIVE_INFINITY, queries: 0, hits: 0 }
      this.#counters.set(id, last)
    }
    return last
  }
}
