import { Draws } from './draws.ts'
import type { Candidate, SelectionContext, SelectionPolicy, SelectionRequest } from './policy.ts'

/**
 * Each available worker in turn, as often as its weight says.
 *
 * One turn per model: with a single one, two models that alternate would each meet always the same of their workers.
 * Further attempts have turns of their own. The first turn is drawn: routers that were started together would otherwise
 * send the same worker their requests at the same time.
 */
export function roundRobin({ random }: Pick<SelectionContext, 'random'>): SelectionPolicy {
  const first = new Map<string | undefined, Turns>()
  const further = new Map<string | undefined, Turns>()
  const draws = new Draws(random)

  return {
    why: 'turn',
    select<C extends Candidate>(candidates: readonly C[], { model, again }: SelectionRequest): C {
      const byModel = again === true ? further : first
      let turns = byModel.get(model)
      if (turns === undefined) {
        turns = new Turns(candidates, draws.take)
        byModel.set(model, turns)
      }
      return turns.take(candidates)
    },
    preview<C extends Candidate>(candidates: readonly C[], { model, again }: SelectionRequest): C {
      const turns = (again === true ? further : first).get(model) ?? new Turns(candidates, draws.ahead())
      return turns.next(candidates)
    },
    forget(id: string): void {
      for (const turns of [...first.values(), ...further.values()]) turns.forget(id)
    },
  }
}

class Turns {
  /**
   * The turn is remembered as the ordinal of the last worker chosen, not as an index: workers may come and go between two
   * requests without anybody being skipped or served twice.
   */
  #last: number
  /** With unlike weights: what each worker has to its credit, in shares of one request. */
  readonly #credit = new Map<string, number>()

  constructor(candidates: readonly Candidate[], random: () => number) {
    const start = Math.floor(random() * candidates.length)
    this.#last = candidates[start]!.ordinal - 1
  }

  /** Whose turn it is. */
  next<C extends Candidate>(candidates: readonly C[]): C {
    return haveOneWeight(candidates) ? this.#afterLast(candidates) : this.#richest(candidates)
  }

  /** The same, and it has had its turn. */
  take<C extends Candidate>(candidates: readonly C[]): C {
    const even = haveOneWeight(candidates)
    const chosen = even ? this.#afterLast(candidates) : this.#richest(candidates)
    if (!even) this.#pay(chosen, candidates)
    this.#last = chosen.ordinal
    return chosen
  }

  forget(id: string): void {
    this.#credit.delete(id)
  }

  #afterLast<C extends Candidate>(candidates: readonly C[]): C {
    return candidates[firstAfter(this.#last, candidates)] ?? candidates[0]!
  }

  /** With the weight that each is about to get. */
  #richest<C extends Candidate>(candidates: readonly C[]): C {
    let most = Number.NEGATIVE_INFINITY
    let richest = candidates[0]!
    for (const candidate of candidates) {
      const credit = (this.#credit.get(candidate.id) ?? 0) + candidate.weight
      if (credit <= most) continue
      most = credit
      richest = candidate
    }
    return richest
  }

  /** Everybody gets its weight, and who has most pays for all: no worker gets its requests in one burst. */
  #pay(chosen: Candidate, candidates: readonly Candidate[]): void {
    let total = 0
    for (const { id, weight } of candidates) {
      this.#credit.set(id, (this.#credit.get(id) ?? 0) + weight)
      total += weight
    }
    this.#credit.set(chosen.id, this.#credit.get(chosen.id)! - total)
  }
}

function haveOneWeight(candidates: readonly Candidate[]): boolean {
  const { weight } = candidates[0]!
  for (const candidate of candidates) if (candidate.weight !== weight) return false
  return true
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
