import { isWithin, loadBound } from './bounded.ts'
import { leastInflight } from './least-inflight.ts'
import type { Candidate, SelectionPolicy, SelectionRequest, Why } from './policy.ts'
import { hashText, WorkerNumbers } from './rendezvous.ts'
import { rankOf } from './weight.ts'

/**
 * A session keeps to the worker that ranks highest for it (highest random weight), the same in every router; while that
 * one has too many requests, to the next below it. Requests without a session go where the fewest are open.
 */
export function rendezvousHash(): SelectionPolicy {
  return new RendezvousHash()
}

class RendezvousHash implements SelectionPolicy {
  readonly reads = { session: true }
  why: Why = 'load'
  readonly #numbers = new WorkerNumbers()
  readonly #byLoad = leastInflight()

  select<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C {
    return this.#bySession(candidates, request.session) ?? this.#byLoad.select(candidates, request)
  }

  preview<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C | undefined {
    return this.#bySession(candidates, request.session) ?? this.#byLoad.preview?.(candidates, request)
  }

  #bySession<C extends Candidate>(candidates: readonly C[], session: string | undefined): C | undefined {
    if (session === undefined) {
      this.why = 'load'
      return undefined
    }
    const key = hashText(session)
    const bound = loadBound(candidates)
    let home: C | undefined
    let free: C | undefined
    let highest = -1
    let highestFree = -1
    for (const candidate of candidates) {
      const rank = rankOf(key, this.#numbers.of(candidate.id), candidate.weight)
      if (rank > highest) {
        highest = rank
        home = candidate
      }
      if (rank > highestFree && isWithin(bound, candidate)) {
        highestFree = rank
        free = candidate
      }
    }
    const chosen = free ?? home!
    this.why = chosen === home ? 'session' : 'spill'
    return chosen
  }

  forget(id: string): void {
    this.#numbers.forget(id)
  }
}
