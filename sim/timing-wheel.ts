/**
 * Hashed timing wheel: many timers on one `setTimeout`.
 *
 * Varghese and Lauck's scheme 6, with slots of one millisecond. A thousand streams that each wait for their next token
 * cost one timer, and entries that are due in the same millisecond run together, like the requests of one engine step.
 */
export interface WheelEntry {
  /** When to fire, on the clock of `performance.now()`. Set by the owner before `add`. */
  due: number
  /** True while the entry waits in the wheel. Only the wheel writes it. */
  armed: boolean
}

const slotCount = 1024

export class TimingWheel<Entry extends WheelEntry> {
  private readonly slots: Entry[][] = Array.from({ length: slotCount }, () => [])
  private readonly fire: (entry: Entry, now: number) => void
  private readonly afterTurn: () => void
  private waiting = 0
  private cursor = 0
  private timer: NodeJS.Timeout | undefined
  private timerTick = 0

  /** `fire` runs for each due entry, never before its time; `afterTurn` once when all due entries have run. */
  constructor(fire: (entry: Entry, now: number) => void, afterTurn: () => void) {
    this.fire = fire
    this.afterTurn = afterTurn
  }

  /** The entry must not be armed. */
  add(entry: Entry): void {
    if (this.waiting === 0) this.cursor = Math.floor(performance.now())
    const tick = Math.max(Math.ceil(entry.due), this.cursor + 1)
    entry.armed = true
    this.waiting++
    this.slotAt(tick).push(entry)
    if (this.timer === undefined || tick < this.timerTick) this.wakeAt(tick)
  }

  /** A cancelled entry is dropped when its slot comes round; it must not be added again. */
  cancel(entry: Entry): void {
    if (!entry.armed) return
    entry.armed = false
    this.waiting--
    if (this.waiting > 0) return
    clearTimeout(this.timer)
    this.timer = undefined
  }

  private slotAt(tick: number): Entry[] {
    return this.slots[tick % slotCount] as Entry[]
  }

  private wakeAt(tick: number): void {
    clearTimeout(this.timer)
    this.timerTick = tick
    this.timer = setTimeout(() => this.turn(), Math.max(1, tick - performance.now()))
  }

  private turn(): void {
    this.timer = undefined
    const now = performance.now()
    const end = Math.floor(now)
    // After a stall longer than one round every slot is visited once, not once per missed millisecond.
    for (let tick = Math.max(this.cursor + 1, end - slotCount + 1); tick <= end; tick++) {
      this.cursor = tick
      this.runSlot(tick, now)
    }
    this.afterTurn()
    if (this.waiting > 0 && this.timer === undefined) this.wakeAt(this.nextTick())
  }

  private runSlot(tick: number, now: number): void {
    const slot = this.slotAt(tick)
    if (slot.length === 0) return
    this.slots[tick % slotCount] = []
    for (const entry of slot) {
      if (!entry.armed) continue
      if (entry.due > now) {
        this.slotAt(tick).push(entry)
        continue
      }
      entry.armed = false
      this.waiting--
      this.fire(entry, now)
    }
  }

  private nextTick(): number {
    for (let tick = this.cursor + 1; tick < this.cursor + slotCount; tick++) {
      if (this.slotAt(tick).length > 0) return tick
    }
    return this.cursor + slotCount
  }
}
