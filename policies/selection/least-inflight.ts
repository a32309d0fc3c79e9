import type { Candidate, SelectionPolicy } from './policy.ts'

/**
 * The worker with the fewest requests open. Ties rotate: without that, an idle fleet would send everything to the
 * first worker as long as requests do not overlap.
 */
export function leastInflight(): SelectionPolicy {
  let last = -1

  return {
    select<C extends Candidate>(candidates: readonly C[]): C {
      let first = candidates[0]!
      let next: C | undefined
      for (const candidate of candidates) {
        if (candidate.inFlight < first.inFlight) {
          first = candidate
          next = undefined
        }
        if (candidate.inFlight === first.inFlight && candidate.ordinal > last) next ??= candidate
      }
      const chosen = next ?? first
      last = chosen.ordinal
      return chosen
    },
  }
}
