import { leastInflight } from './least-inflight.ts'
import type { Candidate, SelectionContext, SelectionPolicy, SelectionRequest, Why } from './policy.ts'

/** Places that are kept, one for each model of a session; the session used longest ago goes first. */
const mostKept = 100_000

/** Where the requests of a session for one model go. */
interface Kept {
  readonly model: string | undefined
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
  readonly #keptMs: number
  readonly #byLoad = leastInflight()
  /** What is kept of each session: few models, mostly one. The session used last is the last. */
  readonly #kept = new Map<string, readonly Kept[]>()
  /** Places in all. */
  #size = 0

  constructor({ now, settings }: SelectionContext) {
    this.#now = now
    this.#keptMs = settings.sessionMs
  }

  select<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C {
    const { model, session, again = false } = request
    const kept = this.#keptBy(session, model)
    const chosen = this.#homeIn(candidates, kept) ?? this.#byLoad.select(candidates, request)
    // A worker that cannot take one request may take the next: a further attempt does not move the session.
    if (session !== undefined && !(again && kept !== undefined)) this.#keep(session, model, chosen.id)
    return chosen
  }

  preview<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C | undefined {
    const kept = this.#keptBy(request.session, request.model)
    return this.#homeIn(candidates, kept) ?? this.#byLoad.preview?.(candidates, request)
  }

  forget(id: string): void {
    for (const [session, places] of this.#kept) {
      if (places.some((kept) => kept.id === id))
        this.#replace(
          session,
          places.filter((kept) => kept.id !== id),
        )
    }
  }

  finish(session: string): void {
    this.#replace(session, [])
  }

  #homeIn<C extends Candidate>(candidates: readonly C[], kept: Kept | undefined): C | undefined {
    const home = kept && candidates.find(({ id }) => id === kept.id)
    this.why = home === undefined ? 'load' : 'session'
    return home
  }

  #keptBy(session: string | undefined, model: string | undefined): Kept | undefined {
    if (session === undefined) return undefined
    const kept = this.#kept.get(session)?.find((one) => one.model === model)
    return kept !== undefined && this.#now() < kept.until ? kept : undefined
  }

  #keep(session: string, model: string | undefined, id: string): void {
    const now = this.#now()
    const others = (this.#kept.get(session) ?? []).filter((one) => one.model !== model && now < one.until)
    this.#replace(session, [])
    this.#replace(session, [...others, { model, id, until: now + this.#keptMs }])
    while (this.#size > mostKept) this.finish(this.#kept.keys().next().value ?? session)
  }

  #replace(session: string, places: readonly Kept[]): void {
    this.#size += places.length - (this.#kept.get(session)?.length ?? 0)
    if (places.length === 0) this.#kept.delete(session)
    else this.#kept.set(session, places)
  }
}
