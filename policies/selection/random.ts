import type { Candidate, SelectionContext, SelectionPolicy } from './policy.ts'

/** Any available worker, each with a chance of its weight. */
export function random({ random: draw }: Pick<SelectionContext, 'random'>): SelectionPolicy {
  return {
    why: 'turn',
    select<C extends Candidate>(candidates: readonly C[]): C {
      let total = 0
      for (const { weight } of candidates) total += weight
      let left = draw() * total
      for (const candidate of candidates) {
        left -= candidate.weight
        if (left < 0) return candidate
      }
      return candidates.at(-1)!
    },
  }
}
