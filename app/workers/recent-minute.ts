import type { RecentView } from './worker-state.ts'

/** Milliseconds of one slot, and how many there are: a minute in all. */
const slotMs = 10_000
const slotCount = 6

/** Upper bounds of the times to first token, in milliseconds: each 1.5 times the one before, from 1 ms to 4 minutes. */
const bounds = Array.from({ length: 32 }, (_, index) => 1.5 ** index)

const nothing = { attempts: 0, retries: 0, failures: 0, refusals: 0, tokens: 0 }

type Count = keyof typeof nothing

class Slot {
  number = -1
  readonly counts: Record<Count, number> = { ...nothing }
  readonly times = new Uint32Array(bounds.length + 1)

  clear(number: number): void {
    this.number = number
    Object.assign(this.counts, nothing)
    this.times.fill(0)
  }
}

/** Counts of the last minute in slots of ten seconds: a bounded memory, and a few additions per request. */
export class RecentMinute {
  readonly #now: () => number
  readonly #slots = Array.from({ length: slotCount }, () => new Slot())

  /** @param now milliseconds, monotonic and never below 0 */
  constructor(now: () => number) {
    this.#now = now
  }

  add(count: Count, by = 1): void {
    this.#slot().counts[count] += by
  }

  firstToken(ms: number): void {
    const index = bounds.findIndex((bound) => ms <= bound)
    this.#slot().times[index === -1 ? bounds.length : index]! += 1
  }

  view(): RecentView {
    const newest = this.#number()
    const live = this.#slots.filter(({ number }) => number > newest - slotCount)
    const sum = (count: Count): number => live.reduce((all, { counts }) => all + counts[count], 0)
    const times = bounds.map((_, index) => live.reduce((all, slot) => all + slot.times[index]!, 0))
    const above = live.reduce((all, slot) => all + slot.times[bounds.length]!, 0)
    return {
      seconds: (slotCount * slotMs) / 1000,
      attempts: sum('attempts'),
      retries: sum('retries'),
      failures: sum('failures'),
      refusals: sum('refusals'),
      completion_tokens: sum('tokens'),
      first_token_ms: quantiles([...times, above]),
    }
  }

  #number(): number {
    return Math.floor(this.#now() / slotMs)
  }

  #slot(): Slot {
    const number = this.#number()
    const slot = this.#slots[number % slotCount]!
    if (slot.number !== number) slot.clear(number)
    return slot
  }
}

function quantiles(times: readonly number[]): RecentView['first_token_ms'] {
  const total = times.reduce((all, count) => all + count, 0)
  return total === 0 ? null : { p50: quantile(times, total * 0.5), p95: quantile(times, total * 0.95) }
}

/** In the middle of the bounds between which it lies, which are 1.5 times apart: right to a fifth. */
function quantile(times: readonly number[], rank: number): number {
  let seen = 0
  const index = times.findIndex((count) => {
    seen += count
    return seen >= rank
  })
  const high = bounds[Math.min(index, bounds.length - 1)]!
  return Math.round(((high / 1.5 + high) / 2) * 10) / 10
}
