import type { Candidate, SelectionContext, SelectionPolicy } from './policy.ts'

/** Any available worker, each with the same chance. */
export function random({ random: draw }: Pick<SelectionContext, 'random'>): SelectionPolicy {
  return {
    why: 'turn',
    select<C extends Candidate>(candidates: readonly C[]): C {
      return candidates[Math.floor(draw() * candidates.length)]!
    },
  }
}
