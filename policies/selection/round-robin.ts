import type { Candidate, SelectionPolicy, SelectionRequest } from './policy.ts'

/**
 * Each available worker in turn.
 *
 * The turn is remembered as the ordinal of the last worker chosen, not as an index: workers may come and go between two
 * requests without anybody being skipped or served twice. One turn per model: with a single one, two models that
 * alternate would each meet always the same of their workers. Further attempts have turns of their own.
 */
export function roundRobin(): SelectionPolicy {
  const first = new Map<string | undefined, number>()
  const further = new Map<string | undefined, number>()

  return {
    why: 'turn',
    select<C extends Candidate>(candidates: readonly C[], { model, again }: SelectionRequest): C {
      const lastByModel = again === true ? further : first
      const last = lastByModel.get(model) ?? -1
      const chosen = candidates[firstAfter(last, candidates)] ?? candidates[0]!
      lastByModel.set(model, chosen.ordinal)
      return chosen
    },
  }
}

/** Index of the first candidate with a larger ordinal, by halving: there may be a thousand. */
function firstAfter(ordinal: number, candidates: readonly Candidate[]): number {
  let low = 0
  let high = candidates.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (candidates[middle]!.ordinal > ordinal) high = middle
    else low = middle + 1
  }
  return low
}
