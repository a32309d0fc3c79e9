import type { Candidate, SelectionPolicy, SelectionRequest } from './policy.ts'
import { loadOf } from './weight.ts'

/**
 * The worker with the fewest requests open, for its weight. Ties rotate: without that, an idle fleet would send
 * everything to the first worker as long as requests do not overlap. Further attempts rotate among themselves.
 */
export function leastInflight(): SelectionPolicy {
  const last = { first: -1, further: -1 }

  function preview<C extends Candidate>(candidates: readonly C[], { again }: SelectionRequest): C {
    const turn = again === true ? last.further : last.first
    let first = candidates[0]!
    let least = loadOf(first)
    let next: C | undefined
    for (const candidate of candidates) {
      const load = loadOf(candidate)
      if (load < least) {
        first = candidate
        least = load
        next = undefined
      }
      if (load === least && candidate.ordinal > turn) next ??= candidate
    }
    return next ?? first
  }

  return {
    why: 'load',
    select(candidates, request) {
      const chosen = preview(candidates, request)
      last[request.again === true ? 'further' : 'first'] = chosen.ordinal
      return chosen
    },
    preview,
  }
}
