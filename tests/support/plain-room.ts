import type { Standing } from '../../http/priority.ts'
import { type PriorityClass, priorityClasses } from '../../http/tenant.ts'

/** One who waits, or did. */
export interface PlainWaiter {
  readonly standing: Standing
  readonly at: number
}

interface PlainFlow {
  turn: number
  order: number
}

const rankOf = (one: PlainWaiter) => priorityClasses.indexOf(one.standing.priority)

/** Whose turn it is, by the rules alone, read off an array of all who wait: slow, and plain enough to be believed. */
export class PlainRoom<W extends PlainWaiter> {
  /** In the order of arrival. */
  waiting: W[] = []
  readonly #options: { readonly size: number; readonly agingMs: number }
  readonly #flows: Record<PriorityClass, Map<string | undefined, PlainFlow>> = {
    high: new Map(),
    normal: new Map(),
    low: new Map(),
  }
  #orders = 0
  #idle: Record<PriorityClass, number> = { high: 0, normal: 0, low: 0 }
  #turns = 0

  constructor(options: { readonly size: number; readonly agingMs: number }) {
    this.#options = options
  }

  /** True, false, or who has to leave. */
  placeFor(one: W): boolean | W {
    const { size } = this.#options
    if (this.waiting.length < size) return true
    const kept = Math.floor(size / 25)
    const { tenant, weight, priority } = one.standing
    const [lower, higher] = [1, -1].map((sign) =>
      priorityClasses
        .filter((name) => Math.sign(priorityClasses.indexOf(name) - rankOf(one)) === sign)
        .filter((name) => this.#of(name).length > kept)
        .map((name) => this.#newestOfGreediest(name)!)
        .toReversed(),
    )
    const [victim] = lower!
    if (victim !== undefined) return victim
    const peer = this.#newestOfGreediest(priority)
    const own = this.#of(priority).filter((other) => other.standing.tenant === tenant)
    if (peer !== undefined && this.#placesOf(peer) > (own.length + 1) / weight) return peer
    return this.#of(priority).length < kept ? (higher![0] ?? false) : false
  }

  /** Of the tenant with most places for its weight; of equal ones, whoever came last. */
  #newestOfGreediest(priority: PriorityClass): W | undefined {
    const most = Math.max(...this.#of(priority).map((one) => this.#placesOf(one)))
    return this.#of(priority).findLast((one) => this.#placesOf(one) === most)
  }

  #placesOf({ standing }: W): number {
    const own = this.#of(standing.priority).filter((other) => other.standing.tenant === standing.tenant)
    return own.length / standing.weight
  }

  join(one: W): void {
    const { priority, tenant } = one.standing
    const flows = this.#flows[priority]
    const backlogged = this.#of(priority)
    if (backlogged.every((other) => other.standing.tenant !== tenant)) {
      // Nobody waits: what was is over.
      if (backlogged.length === 0) {
        this.#idle[priority] = Math.max(this.#idle[priority], ...[...flows.values()].map(({ turn }) => turn))
        flows.clear()
      }
      const now =
        backlogged.length === 0
          ? this.#idle[priority]
          : Math.min(...backlogged.map((other) => flows.get(other.standing.tenant)!.turn))
      const turn = Math.max(flows.get(tenant)?.turn ?? now, now)
      flows.set(tenant, { turn, order: this.#orders++ })
    }
    this.waiting.push(one)
  }

  leave(one: W): void {
    this.waiting = this.waiting.filter((other) => other !== one)
  }

  takeTurn(now: number, lowest: 'high' | 'low'): W | undefined {
    const first = this.#first(lowest)
    if (first === undefined) return undefined
    const overdue = lowest === 'low' ? this.#overdue(now) : undefined
    this.#turns++
    const next = overdue !== undefined && this.#turns >= 25 ? overdue : first
    if (next === overdue) this.#turns = 0
    const { priority, tenant, weight } = next.standing
    const flow = this.#flows[priority].get(tenant)!
    flow.turn += 1 / weight
    flow.order = this.#orders++
    this.leave(next)
    return next
  }

  #first(lowest: 'high' | 'low'): W | undefined {
    for (const priority of lowest === 'low' ? priorityClasses : (['high'] as const)) {
      const turnOf = (one: W) => this.#flows[priority].get(one.standing.tenant)!
      const [first] = this.#of(priority).toSorted(
        // Stable: within a tenant the order of arrival stays.
        (a, b) => turnOf(a).turn - turnOf(b).turn || turnOf(a).order - turnOf(b).order,
      )
      if (first !== undefined) return first
    }
    return undefined
  }

  #overdue(now: number): W | undefined {
    const late = this.waiting.filter(
      (one) => one.standing.priority !== 'high' && now - one.at >= this.#options.agingMs,
    )
    return late.toSorted((a, b) => a.at - b.at || rankOf(a) - rankOf(b))[0]
  }

  #of(priority: PriorityClass): W[] {
    return this.waiting.filter((one) => one.standing.priority === priority)
  }
}
