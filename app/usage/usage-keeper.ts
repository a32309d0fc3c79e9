import type { Clock } from '../runtime/clock.ts'
import { hourMs, type UsageRow } from './usage-row.ts'
import { type UsageRange, type UsageStore, UsageTable } from './usage-store.ts'

export interface UsageKeeperOptions {
  readonly store: UsageStore
  readonly clock: Clock
  /** Milliseconds since 1970. */
  readonly wallNow: () => number
  readonly retentionDays: number
  readonly events: UsageEvents
}

export interface UsageEvents {
  /** Nothing could be written. What is counted is kept in memory, and tried again. */
  usageFailed(reason: string): void
  /** All of it is written again. */
  usageRecovered(): void
}

/** Where usage is counted. */
export interface UsageSource {
  /** To be called at the first count since everything was taken. */
  onCounted: () => void
  /** What was counted since the last call. */
  take(): readonly UsageRow[]
}

/**
 * Milliseconds from a count until it is written: with what a busy machine takes for the timer, the thread and the disk, it
 * is there within a second.
 */
const writeMs = 500
/** The same after a failure. */
const againMs = 5000

/**
 * Brings what is counted to where it is kept, within a second of the count. No request waits for that. What cannot be
 * written stays in memory, one row for each hour, tenant and model.
 */
export class UsageKeeper {
  readonly #options: UsageKeeperOptions
  readonly #pending = new UsageTable()
  #source: UsageSource | undefined
  #writing: Promise<void> = Promise.resolve()
  #cancelTimer: (() => void) | undefined
  #error: Error | undefined
  #retentionDays: number
  /** Up to this hour, what is too old has been forgotten. */
  #forgotten = 0

  constructor(options: UsageKeeperOptions) {
    this.#options = options
    this.#retentionDays = options.retentionDays
  }

  get retentionDays(): number {
    return this.#retentionDays
  }

  set retentionDays(days: number) {
    this.#retentionDays = days
    this.#forgotten = 0
  }

  /** Whether what is kept outlives the process. */
  get lasts(): boolean {
    return this.#options.store.lasts
  }

  /** The first hour that is kept. */
  get firstHour(): number {
    return this.thisHour - this.#retentionDays * 24 + 1
  }

  get thisHour(): number {
    return Math.floor(this.#options.wallNow() / hourMs)
  }

  /** Takes from there what is counted. */
  follow(source: UsageSource): void {
    this.#source = source
    source.onCounted = () => this.#writeIn(writeMs)
  }

  /** Writes these, and all that is there, now. Rejects where it cannot be written; it stays here all the same. */
  async add(rows: readonly UsageRow[]): Promise<void> {
    this.#pending.add(rows)
    await this.flush()
  }

  /** Writes all that was counted until now. Rejects where it cannot be written. */
  async flush(): Promise<void> {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#writing = this.#writing.then(() => this.#write())
    await this.#writing
    if (this.#error !== undefined) throw this.#error
  }

  /** Rejects where what was counted cannot be read, or not all of it. */
  async rows(range: UsageRange): Promise<readonly UsageRow[]> {
    await this.flush()
    return this.#options.store.rows(range)
  }

  /** Writes what is left. */
  async close(): Promise<void> {
    // Whoever could not write it has said so.
    await this.flush().catch(() => {})
    this.#cancelTimer?.()
    await this.#options.store.close().catch(() => {})
  }

  async #write(): Promise<void> {
    const { store, events } = this.#options
    this.#pending.add(this.#source?.take() ?? [])
    let rows = this.#pending.take()
    try {
      if (rows.length > 0) await store.add(rows)
      // They are kept: whatever fails from here on must not bring them back.
      rows = []
      await this.#forget()
    } catch (error) {
      this.#pending.add(rows)
      this.#error = error instanceof Error ? error : new Error(String(error))
      events.usageFailed(this.#error.message)
      this.#writeIn(againMs)
      return
    }
    if (this.#error !== undefined) events.usageRecovered()
    this.#error = undefined
  }

  async #forget(): Promise<void> {
    const first = this.firstHour
    if (first <= this.#forgotten) return
    await this.#options.store.forget(first)
    this.#forgotten = first
  }

  #writeIn(ms: number): void {
    this.#cancelTimer ??= this.#options.clock.after(ms, () => {
      this.#cancelTimer = undefined
      // Whoever asks for it is told; nobody waits for this one.
      this.flush().catch(() => {})
    })
  }
}
