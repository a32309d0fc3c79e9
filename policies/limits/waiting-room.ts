import type { Standing } from '../../http/priority.ts'
import { type PriorityClass, priorityClasses } from '../../http/tenant.ts'
import { FairLine, type InLine } from './fair-line.ts'
import { TurnPace } from './turn-pace.ts'

/** One who waits; kept by the room for as long as it is in there. */
export interface Waiter {
  readonly standing: Standing
  /** When it came, in milliseconds of the queue's clock. */
  readonly since: number
}

/** A place in the room. */
export interface Seat<W> extends InLine<W> {}

/** Of so many turns, one goes to the longest overdue, where it is not its turn anyway; of so many places, a class keeps one. */
export const keptOf = 25

export interface RoomOptions {
  /** How many may wait. */
  readonly size: number
  /** Milliseconds after which one that waits is overdue. */
  readonly agingMs: number
}

/**
 * Who waits for a turn, and whose turn it is.
 *
 * Every `high` comes before every `normal`, and these before every `low`; within a class, turns are fair between tenants
 * (`FairLine`). So that nobody waits for ever, one turn in 25 goes to whoever of `normal` and `low` has waited longest, once
 * it is overdue. Whoever is overdue thus has its turn after 25 turns at most for each that has waited longer, and `high`
 * loses no more than 4% of the turns, however many others wait.
 *
 * When all places are taken, a lower class gives up its newest first, but each class keeps one place in 25. Within a class,
 * the tenant that has most places for its weight gives up its newest to one that has fewer.
 */
export class WaitingRoom<W extends Waiter> {
  size: number
  agingMs: number
  readonly #lines: Readonly<Record<PriorityClass, FairLine<W>>> = {
    high: new FairLine(),
    normal: new FairLine(),
    low: new FairLine(),
  }
  readonly #paces: Readonly<Record<PriorityClass, TurnPace>> = {
    high: new TurnPace(),
    normal: new TurnPace(),
    low: new TurnPace(),
  }
  #length = 0
  /** Since one that was overdue had the last one. */
  #turns = 0

  constructor({ size, agingMs }: RoomOptions) {
    this.size = size
    this.agingMs = agingMs
  }

  get length(): number {
    return this.#length
  }

  lengthOf(priority: PriorityClass): number {
    return this.#lines[priority].length
  }

  /** Whether there is a place for one more: true, false, or who has to leave for it. */
  placeFor({ tenant, priority, weight }: Standing): boolean | Seat<W> {
    if (this.#length < this.size) return true
    const kept = Math.floor(this.size / keptOf)
    const own = this.#lines[priority]
    for (let rank = priorityClasses.length - 1; rank >= 0; rank--) {
      const line = this.#lines[priorityClasses[rank]!]
      if (line === own) {
        const newest = own.newestOfGreedier(tenant, weight)
        if (newest !== undefined || own.length >= kept) return newest ?? false
      } else if (line.length > kept) {
        return line.newest!
      }
    }
    return false
  }

  join(waiter: W): Seat<W> {
    const { tenant, priority, weight } = waiter.standing
    const line = this.#lines[priority]
    if (line.length === 0) this.#paces[priority].began(waiter.since)
    this.#length++
    return line.join(waiter, tenant, weight)
  }

  /** Gives up its place. */
  leave(seat: Seat<W>): void {
    this.#length--
    this.#lines[seat.of.standing.priority].leave(seat)
  }

  /**
   * The one whose turn it is; it has left.
   *
   * @param lowest `high`: the turn is for that class alone
   */
  takeTurn(now: number, lowest: 'high' | 'low' = 'low'): W | undefined {
    const { high, normal, low } = this.#lines
    const isForAll = lowest === 'low'
    const first = high.next ?? (isForAll ? (normal.next ?? low.next) : undefined)
    if (first === undefined) return undefined
    const overdue = isForAll ? this.#overdue(now) : undefined
    this.#turns++
    const next = overdue !== undefined && this.#turns >= keptOf ? overdue : first
    if (next === overdue) this.#turns = 0
    const { priority } = next.of.standing
    this.#length--
    this.#lines[priority].takeTurn(next)
    this.#paces[priority].turn(now)
    return next.of
  }

  /** Milliseconds until it would be the turn of one more of this standing, by the pace that was measured. */
  waitOf({ tenant, priority, weight }: Standing, now: number): number {
    return this.#paces[priority].msFor(this.#lines[priority].turnsFor(tenant, weight), now)
  }

  /** The one that has waited longest, if that is too long. Those of the highest class never are: they wait for their own. */
  #overdue(now: number): Seat<W> | undefined {
    const normal = this.#lines.normal.oldest
    const low = this.#lines.low.oldest
    const oldest =
      normal === undefined || (low !== undefined && low.of.since < normal.of.since) ? low : normal
    return oldest !== undefined && now - oldest.of.since >= this.agingMs ? oldest : undefined
  }
}
