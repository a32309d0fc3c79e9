import { IndexedHeap } from './indexed-heap.ts'
import { type Place, WaitingLine } from './waiting-line.ts'

/** One who waits in a `FairLine`. */
export interface InLine<T> {
  readonly of: T
}

/** What waits of one tenant, first come, first served. */
interface Flow<T> {
  readonly tenant: string | undefined
  readonly line: WaitingLine<Member<T>>
  weight: number
  /** The virtual time at which its next turn begins. */
  turn: number
  /** Of those with the same time, the smaller one is first. */
  order: number
}

interface Member<T> extends InLine<T> {
  readonly flow: Flow<T>
  /** In the order of arrival. */
  readonly number: number
  inFlow: Place<Member<T>>
  inAll: Place<Member<T>>
}

/**
 * Those of one class that wait, in turns that are fair between their tenants.
 *
 * Start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, SIGCOMM 1996), by tenant instead of by packet: each tenant has
 * the virtual time at which its next turn begins; the earliest is next, and a turn moves its tenant on by 1 / weight. Only
 * turns that were given are charged, so that who leaves the line costs its tenant nothing. A tenant of whom nobody waits
 * keeps its time until that has come: to leave and to come again gains nothing. Each step is O(log tenants).
 */
export class FairLine<T> {
  readonly #all = new WaitingLine<Member<T>>()
  readonly #flows = new Map<string | undefined, Flow<T>>()
  /** The next turn first; those of whom nobody waits among them, until their time has come. */
  readonly #turns = new IndexedHeap<Flow<T>>(isSooner)
  /** Who has most places for its weight first, of equal ones the one whose newest came last; without those of whom nobody waits. */
  readonly #sizes = new IndexedHeap<Flow<T>>(isGreedier)
  /** Virtual time, as far as it was last looked at. */
  #now = 0
  #orders = 0
  #arrivals = 0
  /** Weight of the tenants of whom somebody waits. */
  #weight = 0

  get length(): number {
    return this.#all.length
  }

  /** The one that came first, whose turn it may not be. */
  get oldest(): InLine<T> | undefined {
    return this.#all.first
  }

  /** The one that came last of the tenant that has most places for its weight. */
  get newest(): InLine<T> | undefined {
    return this.#sizes.first?.line.last
  }

  /** The one whose turn it is. */
  get next(): InLine<T> | undefined {
    for (;;) {
      const flow = this.#turns.first
      if (flow === undefined) return undefined
      this.#now = flow.turn
      if (flow.line.length > 0) return flow.line.first
      this.#turns.remove(flow)
      this.#flows.delete(flow.tenant)
    }
  }

  /** `newest`, where its tenant has more places for its weight than this one would have with one more. */
  newestOfGreedier(tenant: string | undefined, weight: number): InLine<T> | undefined {
    const greediest = this.#sizes.first
    if (greediest === undefined) return undefined
    return sizeOf(greediest) > (this.#countOf(tenant) + 1) / weight ? greediest.line.last : undefined
  }

  /** After how many turns of this line it would be the turn of one more of this tenant, itself included. */
  turnsFor(tenant: string | undefined, weight: number): number {
    const own = this.#countOf(tenant)
    const others = own > 0 ? this.#weight - this.#flows.get(tenant)!.weight : this.#weight
    return Math.min(this.length + 1, Math.ceil((own + 1) * (1 + others / weight)))
  }

  /** @param weight above 0; the one that was given last for a tenant counts */
  join(one: T, tenant: string | undefined, weight: number): InLine<T> {
    const flow = this.#flowOf(tenant, weight)
    const isFirst = flow.line.length === 0
    this.#weight += isFirst ? weight : weight - flow.weight
    flow.weight = weight
    const member = { of: one, flow, number: this.#arrivals++ } as Member<T>
    member.inFlow = flow.line.join(member)
    member.inAll = this.#all.join(member)
    if (isFirst) this.#sizes.add(flow)
    else this.#sizes.moved(flow)
    return member
  }

  /** Gives up its place. */
  leave(one: InLine<T>): void {
    const { flow, inFlow, inAll } = one as Member<T>
    flow.line.leave(inFlow)
    this.#all.leave(inAll)
    if (flow.line.length > 0) {
      this.#sizes.moved(flow)
      return
    }
    this.#sizes.remove(flow)
    this.#weight -= flow.weight
    // What additions and subtractions have rounded off must not add up.
    if (this.length === 0) this.#weight = 0
  }

  /** Gives one its turn, whose turn it may not have been: it is charged to its tenant all the same. */
  takeTurn(one: InLine<T>): void {
    const { flow } = one as Member<T>
    this.leave(one)
    flow.turn += 1 / flow.weight
    this.#toTheEnd(flow)
  }

  #flowOf(tenant: string | undefined, weight: number): Flow<T> {
    const known = this.#flows.get(tenant)
    if (known !== undefined && known.line.length > 0) return known
    // Brings the virtual time up to date, and forgets whose time has come.
    void this.next
    const kept = this.#flows.get(tenant)
    if (kept !== undefined) {
      this.#toTheEnd(kept)
      return kept
    }
    const line = new WaitingLine<Member<T>>()
    const flow = { tenant, weight, line, turn: this.#now, order: this.#orders++ }
    this.#flows.set(tenant, flow)
    this.#turns.add(flow)
    return flow
  }

  /** Of those with the same time. */
  #toTheEnd(flow: Flow<T>): void {
    flow.order = this.#orders++
    this.#turns.moved(flow)
  }

  #countOf(tenant: string | undefined): number {
    return this.#flows.get(tenant)?.line.length ?? 0
  }
}

function isSooner(a: Flow<unknown>, b: Flow<unknown>): boolean {
  return a.turn < b.turn || (a.turn === b.turn && a.order < b.order)
}

function isGreedier(a: Flow<unknown>, b: Flow<unknown>): boolean {
  const more = sizeOf(a) - sizeOf(b)
  return more > 0 || (more === 0 && a.line.last!.number > b.line.last!.number)
}

function sizeOf({ line, weight }: Flow<unknown>): number {
  return line.length / weight
}
