import { isWithin, loadBound } from './bounded.ts'
import { leastInflight } from './least-inflight.ts'
import type { Candidate, SelectionPolicy, SelectionRequest, Why } from './policy.ts'
import { hashText, mix } from './rendezvous.ts'

/** Places on the ring of a worker of weight 1: with so many, shares differ by about an eighth. */
const places = 64

interface Place {
  readonly at: number
  readonly id: string
}

/**
 * A session keeps to the worker that follows it on a ring of hashes, the same in every router; while that one has too many
 * requests, to the next on the ring. Requests without a session go where the fewest are open.
 */
export function consistentHash(): SelectionPolicy {
  return new ConsistentHash()
}

class ConsistentHash implements SelectionPolicy {
  readonly reads = { session: true }
  why: Why = 'load'
  readonly #byLoad = leastInflight()
  /** In order of `at`; of all workers that were ever a candidate and are not gone. */
  #ring: Place[] = []
  /** The weight with which each has entered. */
  readonly #onRing = new Map<string, number>()
  /** The candidates of the last choice, which are mostly those of the next one, by their ids. */
  #last: readonly Candidate[] = []
  #byId = new Map<string, Candidate>()

  select<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C {
    return this.#bySession(candidates, request.session) ?? this.#byLoad.select(candidates, request)
  }

  preview<C extends Candidate>(candidates: readonly C[], request: SelectionRequest): C | undefined {
    return this.#bySession(candidates, request.session) ?? this.#byLoad.preview?.(candidates, request)
  }

  /** Changes nothing but what it can make anew at any time. */
  #bySession<C extends Candidate>(candidates: readonly C[], session: string | undefined): C | undefined {
    if (session === undefined) {
      this.why = 'load'
      return undefined
    }
    const byId = this.#mapOf(candidates)
    const bound = loadBound(candidates)
    const start = this.#firstAfter(hashText(session))
    let home: C | undefined
    const passed = new Set<string>()
    for (let step = 0; step < this.#ring.length && passed.size < candidates.length; step++) {
      const { id } = this.#ring[(start + step) % this.#ring.length]!
      const candidate = byId.get(id) as C | undefined
      if (candidate === undefined || passed.has(id)) continue
      passed.add(id)
      home ??= candidate
      if (!isWithin(bound, candidate)) continue
      this.why = candidate === home ? 'session' : 'spill'
      return candidate
    }
    this.why = 'session'
    return home!
  }

  forget(id: string): void {
    if (this.#onRing.delete(id)) this.#leave(id)
    this.#last = []
  }

  #leave(id: string): void {
    this.#ring = this.#ring.filter((place) => place.id !== id)
  }

  #mapOf(candidates: readonly Candidate[]): ReadonlyMap<string, Candidate> {
    if (candidates !== this.#last) {
      this.#last = candidates
      this.#byId = new Map(candidates.map((candidate) => [candidate.id, candidate]))
      const added = candidates.filter(({ id, weight }) => this.#onRing.get(id) !== weight)
      if (added.length > 0) this.#enter(added)
    }
    return this.#byId
  }

  #enter(added: readonly Candidate[]): void {
    for (const { id, weight } of added) {
      if (this.#onRing.has(id)) this.#leave(id)
      this.#onRing.set(id, weight)
      const number = hashText(id)
      const own = Math.max(1, Math.round(places * weight))
      for (let place = 0; place < own; place++) this.#ring.push({ at: mix(number, place), id })
    }
    this.#ring.sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1))
  }

  /** By halving. */
  #firstAfter(hash: number): number {
    let low = 0
    let high = this.#ring.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#ring[middle]!.at > hash) high = middle
      else low = middle + 1
    }
    return low === this.#ring.length ? 0 : low
  }
}
