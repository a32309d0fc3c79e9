import type { Tenant } from '../../http/tenant.ts'
import { aheadShare, LimitShare } from './limit-share.ts'
import {
  type Amounts,
  LateAnswer,
  type LimitsStore,
  type ShareAnswer,
  type ShareRequest,
} from './limits-store.ts'
import { type Reservation, TenantAccount, type TenantRefusal } from './tenant-account.ts'

export interface SharedAccountOptions {
  readonly store: LimitsStore
  /** Milliseconds, monotonic; `after` calls once, and returns what takes that back. */
  readonly clock: {
    now(): number
    after(ms: number, fire: () => void): () => void
  }
  /** A request waits for the store. */
  readonly onWait: () => void
  /** There is something to tell the store later on: `tick` is wanted. */
  readonly onActive: (account: SharedAccount) => void
}

/** Milliseconds between two exchanges for which nobody waits. */
const gapMs = 100
/** Milliseconds for which it is believed that there is no room, and the store is not asked again. */
const freshMs = 50

interface Waiting {
  readonly amounts: Amounts
  readonly decide: (decision: Reservation | TenantRefusal) => void
}

/**
 * An account that several processes share through a store. What the store has granted ahead is spent without asking; the
 * store is asked in the background when that runs low, and before an answer only where it is used up. While the store is
 * gone the whole limit holds for this process alone, and what was used meanwhile is told when it is back.
 */
export class SharedAccount extends TenantAccount {
  readonly #options: SharedAccountOptions
  readonly #shares = [new LimitShare(1), new LimitShare(0), new LimitShare(0)] as const
  /** Requests in flight that may be held without asking, and those that other processes hold. */
  #slots = 0
  #slotsOfOthers = 0
  /** The most in flight since the last tick: what was needed just now is needed again. */
  #peak = 0
  #heardAt = Number.NEGATIVE_INFINITY
  #askedAt = Number.NEGATIVE_INFINITY
  #isAsking = false
  #cancelSoon: (() => void) | undefined
  #waiting: Waiting[] = []
  #isActive = false
  #wasUsed = false
  #closed = false

  constructor(tenant: Tenant, options: SharedAccountOptions) {
    super(tenant, () => options.clock.now())
    this.#options = options
  }

  override get inFlightOfAll(): number {
    return this.inFlight + this.#slotsOfOthers
  }

  override get isIdle(): boolean {
    return !this.#isActive && super.isIdle
  }

  override take(asked: Amounts): Reservation | TenantRefusal | Promise<Reservation | TenantRefusal> {
    const amounts = this.capped(asked)
    const now = this.now()
    const refusal = this.refusal(amounts, now)
    if (refusal !== undefined) return refusal
    const isAlone = this.#closed || !this.#options.store.isUp
    if (isAlone || (this.#waiting.length === 0 && this.#fits(amounts))) return this.#spend(amounts, now)
    if (now - this.#heardAt < freshMs) {
      const known = this.#refusalOfAll(amounts)
      if (known !== undefined) return known
    }
    this.#options.onWait()
    this.#activate()
    return new Promise((decide) => {
      this.#waiting.push({ amounts, decide })
      this.#ask()
    })
  }

  override outlook(asked: Amounts): TenantRefusal | undefined {
    const amounts = this.capped(asked)
    const refusal = this.refusal(amounts, this.now())
    if (refusal !== undefined || !this.#isInformed || this.#fits(amounts)) return refusal
    return this.#refusalOfAll(amounts)
  }

  override settle(reservation: Reservation, used: Amounts): Amounts {
    const changes = super.settle(reservation, used)
    const now = this.now()
    for (let index = 0; index < 3; index++)
      this.#shares[index]!.settle(changes[index]!, reservation.since, now, this.#isInformed)
    this.#noteUse()
    return changes
  }

  override used(index: number, now: number = this.now()): number {
    if (!this.#isInformed) return super.used(index, now)
    return this.#shares[index]!.used(now)
  }

  /** Once a second as long as it is active: gives back what nobody needs, and shows the store that this process lives. */
  tick(): void {
    const isQuiet = !this.#wasUsed && this.#waiting.length === 0
    this.#wasUsed = false
    this.#peak = this.inFlight
    if (this.#slots > 0 || this.#shares.some((share) => !share.isEmpty)) this.#ask(isQuiet)
    else if (isQuiet && this.inFlight === 0 && !this.#isAsking) this.#isActive = false
  }

  get isActive(): boolean {
    return this.#isActive
  }

  /** Gives everything back; resolves when the store has heard of it, or is not there. */
  async close(): Promise<void> {
    this.#closed = true
    this.#cancelSoon?.()
    this.#decideAlone()
    if (this.#isActive && this.#options.store.isUp)
      await this.#options.store.exchange(this.name, this.#request(true)).catch(() => {})
  }

  get #isInformed(): boolean {
    return this.#options.store.isUp && this.#heardAt !== Number.NEGATIVE_INFINITY
  }

  #fits(amounts: Amounts): boolean {
    for (let index = 0; index < 3; index++)
      if (!this.#shares[index]!.covers(amounts[index]!, this.limit(index))) return false
    return this.inFlight < this.#slots || this.mostInFlight === Number.POSITIVE_INFINITY
  }

  #spend(amounts: Amounts, now: number): Reservation {
    for (let index = 0; index < 3; index++) this.#shares[index]!.spend(amounts[index]!)
    const reservation = this.reserve(amounts, now)
    this.#peak = Math.max(this.#peak, this.inFlight)
    this.#wasUsed = true
    this.#noteUse()
    return reservation
  }

  #noteUse(): void {
    if (this.#closed) return
    this.#activate()
    if (this.#isAsking || this.#cancelSoon !== undefined || !this.#options.store.isUp) return
    for (let index = 0; index < 3; index++) {
      if (!this.#shares[index]!.isUneven(this.limit(index))) continue
      this.#askSoon()
      return
    }
  }

  #activate(): void {
    if (this.#isActive) return
    this.#isActive = true
    this.#options.onActive(this)
  }

  #askSoon(): void {
    const waitMs = this.#askedAt + gapMs - this.now()
    if (waitMs <= 0) this.#ask()
    else
      this.#cancelSoon = this.#options.clock.after(waitMs, () => {
        this.#cancelSoon = undefined
        this.#ask()
      })
  }

  /** @param isQuiet nothing is to be held ahead */
  #ask(isQuiet = false): void {
    if (this.#isAsking || this.#closed || !this.#options.store.isUp) return
    this.#cancelSoon?.()
    this.#cancelSoon = undefined
    this.#isAsking = true
    this.#askedAt = this.now()
    const request = this.#request(isQuiet)
    const asked = this.#waiting.length
    this.#options.store.exchange(this.name, request).then(
      (answer) => this.#answered(answer, asked),
      (error: unknown) => this.#unanswered(request, error),
    )
  }

  #request(isQuiet: boolean): ShareRequest {
    const now = this.now()
    const charge: [number, number, number] = [0, 0, 0]
    const want: [number, number, number] = [0, 0, 0]
    for (let index = 0; index < 3; index++) {
      let waiting = 0
      for (const { amounts } of this.#waiting) waiting += amounts[index]!
      const spent = this.buckets[index]!.level(now)
      const told = this.#shares[index]!.exchange(this.limit(index), waiting, isQuiet, spent)
      charge[index] = told.charge
      want[index] = told.want
    }
    return { limits: this.limits, charge, want, slots: this.#slotsWanted(isQuiet) }
  }

  #slotsWanted(isQuiet: boolean): number {
    const most = this.mostInFlight
    if (most === Number.POSITIVE_INFINITY) return 0
    const needed = this.inFlight + this.#waiting.length
    if (isQuiet) return needed
    return Math.min(most, Math.max(this.#peak, needed + Math.floor(most * aheadShare.most)))
  }

  #answered({ granted, used, slots, slotsHeld }: ShareAnswer, asked: number): void {
    const now = this.now()
    this.#heardAt = now
    for (let index = 0; index < 3; index++)
      this.#shares[index]!.answered(granted[index]!, used[index]!, this.limit(index), now)
    this.#slots = slots
    this.#slotsOfOthers = slotsHeld - slots
    for (const { amounts, decide } of this.#waiting.splice(0, asked)) {
      const fits = this.#fits(amounts)
      // Without a refusal less than one is missing.
      decide(
        this.refusal(amounts, now) ??
          (fits ? undefined : this.#refusalOfAll(amounts)) ??
          this.#spend(amounts, now),
      )
    }
    this.#isAsking = false
    if (this.#waiting.length > 0) this.#ask()
  }

  #unanswered({ charge }: ShareRequest, error: unknown): void {
    this.#isAsking = false
    for (let index = 0; index < 3; index++) this.#shares[index]!.unsaid(charge[index]!)
    // What the store has heard must not be told it twice.
    if (error instanceof LateAnswer)
      error.answer.then(
        ({ granted }) => this.#heardAfterAll(charge, granted),
        () => {},
      )
    this.#decideAlone()
  }

  #heardAfterAll(charge: Amounts, granted: Amounts): void {
    for (let index = 0; index < 3; index++) this.#shares[index]!.saidAfterAll(charge[index]!, granted[index]!)
    this.#noteUse()
  }

  #decideAlone(): void {
    const now = this.now()
    for (const { amounts, decide } of this.#waiting.splice(0))
      decide(this.refusal(amounts, now) ?? this.#spend(amounts, now))
  }

  /** By what the store has said last. */
  #refusalOfAll(amounts: Amounts): TenantRefusal | undefined {
    const now = this.now()
    let longest = -1
    let waitMs = 0
    for (let index = 0; index < 3; index++) {
      const wait = this.#shares[index]!.waitMs(amounts[index]!, now)
      if (wait <= waitMs) continue
      longest = index
      waitMs = wait
    }
    if (longest >= 0) return this.refused(longest, amounts[longest]!, waitMs)
    const isFull = this.inFlight >= this.#slots && this.#slots + this.#slotsOfOthers >= this.mostInFlight
    return isFull ? this.refusedTurn() : undefined
  }
}
