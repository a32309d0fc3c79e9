import { leastInflight } from './least-inflight.ts'
import type { Candidate, SelectionContext, SelectionPolicy, SelectionRequest, Why } from './policy.ts'

/** Milliseconds after its last request for which a session keeps its worker. */
const keptMs = 30 * 60_000
/** Sessions that are kept; the one used longest ago goes first. */
const mostSessions = 100_000

interface Kept {
  readonly id: string
  until: number
}

/**
 * A new session goes where the fewest requests are open, and stays there for as long as it is used. Only the router that
 * has seen it knows: behind several, clients must keep to one, or `rendezvous_hash` or `cache_aware` be used.
 */
export function stickyLeastLoaded(context: SelectionContext): SelectionPolicy {
  return new StickyLeastLoaded(context)
}

class StickyLeastLoaded implements SelectionPolicy {
  readonly reads = { session: true }
  why: Why = 'load'
  readonly #now: () => number
  readonly #byLoad = leastInflight()
  /** The one used last is the last. */
  readonly #kept = new Map<string, Kept>()

  constructor({ now }: SelectionContext) {
    this.#now = now
  }

  select<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C {
    const { session, again = false } = request
    const kept = session === undefined ? undefined : this.#keptBy(session)
    const home = kept && candidates.find(({ id }) => id === kept.id)
    this.why = home === undefined ? 'load' : 'session'
    const chosen = home ?? this.#byLoad.select(candidates, request)
    // A worker that cannot take one request may take the next: a further attempt does not move the session.
    if (session !== undefined && !(again && kept !== undefined)) this.#keep(session, chosen.id)
    return chosen
  }

  forget(id: string): void {
    for (const [session, kept] of this.#kept) if (kept.id === id) this.#kept.delete(session)
  }

  finish(session: string): void {
    this.#kept.delete(session)
  }

  #keptBy(session: string): Kept | undefined {
    const kept = this.#kept.get(session)
    return kept !== undefined && this.#now() < kept.until ? kept : undefined
  }

  #keep(session: string, id: string): void {
    this.#kept.delete(session)
    this.#kept.set(session, { id, until: this.#now() + keptMs })
    if (this.#kept.size > mostSessions) this.#kept.delete(this.#kept.keys().next().value ?? '')
  }
}
