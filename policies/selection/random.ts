import { Draws } from './draws.ts'
import type { Candidate, SelectionContext, SelectionPolicy } from './policy.ts'

/** Any available worker, each with a chance of its weight. */
export function random({ random: draw }: Pick<SelectionContext, 'random'>): SelectionPolicy {
  const draws = new Draws(draw)
  return {
    why: 'turn',
    select: (candidates) => drawn(candidates, draws.take),
    preview: (candidates) => drawn(candidates, draws.ahead()),
  }
}

function drawn<C extends Candidate>(candidates: readonly C[], draw: () => number): C {
  let total = 0
  for (const { weight } of candidates) total += weight
  let left = draw() * total
  for (const candidate of candidates) {
    left -= candidate.weight
    if (left < 0) return candidate
  }
  return candidates.at(-1)!
}
