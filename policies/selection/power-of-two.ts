import { Draws } from './draws.ts'
import type { Candidate, SelectionContext, SelectionPolicy } from './policy.ts'
import { loadOf } from './weight.ts'

/**
 * Of two different workers drawn at random, the one with fewer requests open for its weight; the first one where both
 * are as loaded.
 */
export function powerOfTwo({ random }: Pick<SelectionContext, 'random'>): SelectionPolicy {
  const draws = new Draws(random)
  return {
    why: 'load',
    select: (candidates) => betterOfTwo(candidates, draws.take),
    preview: (candidates) => betterOfTwo(candidates, draws.ahead()),
  }
}

function betterOfTwo<C extends Candidate>(candidates: readonly C[], draw: () => number): C {
  const count = candidates.length
  const first = Math.floor(draw() * count)
  if (count === 1) return candidates[first]!
  // A number from the others, so that no draw is wasted on the same worker.
  const second = (first + 1 + Math.floor(draw() * (count - 1))) % count
  const one = candidates[first]!
  const other = candidates[second]!
  return loadOf(other) < loadOf(one) ? other : one
}
