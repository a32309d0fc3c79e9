import type { Candidate, SelectionPolicy, SelectionRequest } from './policy.ts'

/**
 * The worker with the fewest requests open. Ties rotate: without that, an idle fleet would send everything to the
 * first worker as long as requests do not overlap. Further attempts at a request rotate among themselves.
 */
export function leastInflight(): SelectionPolicy {
  const last = { first: -1, further: -1 }

  return {
    why: 'load',
    select<C extends Candidate>(candidates: readonly C[], { again }: SelectionRequest): C {
      const turns = again === true ? 'further' : 'first'
      let first = candidates[0]!
      let next: C | undefined
      for (const candidate of candidates) {
        if (candidate.inFlight < first.inFlight) {
          first = candidate
          next = undefined
        }
        if (candidate.inFlight === first.inFlight && candidate.ordinal > last[turns]) next ??= candidate
      }
      const chosen = next ?? first
      last[turns] = chosen.ordinal
      return chosen
    },
  }
}
