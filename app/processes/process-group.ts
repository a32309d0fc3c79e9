import type { Clock } from '../runtime/clock.ts'
import type { OwnCommand } from '../runtime/own-command.ts'
import type { StartOrder, SupervisorCalls } from './calls.ts'
import type { Handlers } from './channel.ts'
import { type Exit, RouterProcess } from './router-process.ts'

export interface ProcessGroupOptions {
  readonly count: number
  readonly command: OwnCommand
  readonly argv: readonly string[]
  readonly clock: Clock
  /** What a process is told at its start. */
  readonly order: (number: number) => Promise<StartOrder>
  /** What a process may ask. */
  readonly handlers: (id: number) => Handlers<SupervisorCalls>
  readonly events: ProcessEvents
}

export interface ProcessEvents {
  serving(process: RouterProcess): void
  /** @param restartMs when another one takes its place; undefined while the router stops */
  ended(process: RouterProcess, exit: Exit, restartMs: number | undefined): void
  /** It did not answer for so long that it is killed. */
  hung(process: RouterProcess): void
  startFailed(number: number, error: unknown): void
}

const pingMs = 5000
/** Milliseconds without a turn of its event loop after which a process is given up. */
const hungMs = 30_000
/** Milliseconds that a replacement may take until it listens. */
const startMs = 60_000

/** The processes: as many as there should be, replaced when they end by themselves, drained and ended together. */
export class ProcessGroup {
  readonly #options: ProcessGroupOptions
  readonly #delays = new Map<number, RestartDelay>()
  readonly #asked = new Map<RouterProcess, number>()
  readonly #timers = new Set<() => void>()
  #all: readonly RouterProcess[] = []
  #nextId = 0
  /** `up`: who ends is replaced. */
  #phase: 'starting' | 'up' | 'stopping' = 'starting'

  constructor(options: ProcessGroupOptions) {
    this.#options = options
  }

  /** The oldest first; those that are only starting included. */
  get all(): readonly RouterProcess[] {
    return this.#all
  }

  get serving(): readonly RouterProcess[] {
    return this.#all.filter(({ serving }) => serving)
  }

  /** Resolves when all of them serve; when one cannot, it rejects with its error, and there are none. */
  async start(): Promise<void> {
    const numbers = Array.from({ length: this.#options.count }, (_, index) => index + 1)
    try {
      await Promise.all(numbers.map((number) => this.#begin(this.#spawn(number))))
    } catch (error) {
      await this.kill()
      throw error
    }
    if (this.#phase !== 'starting') return
    this.#phase = 'up'
    // Who has ended in the meantime is missed now.
    const there = new Set(this.#all.map(({ number }) => number))
    for (const number of numbers) if (!there.has(number)) this.#replace(number, 0)
    this.#watch()
  }

  /** Ends all of them, each when its requests have ended, at the latest after `withinMs`. */
  async drain(settle: boolean, withinMs: number): Promise<void> {
    this.#stopTimers()
    for (const { channel } of this.#all) channel.tell('drain', { settle })
    const late = this.#options.clock.after(withinMs, () => void this.kill())
    await Promise.all(this.#all.map(({ ended }) => ended))
    late()
  }

  /** Ends all of them at once. */
  async kill(): Promise<void> {
    this.#stopTimers()
    for (const process of this.#all) process.kill()
    await Promise.all(this.#all.map(({ ended }) => ended))
  }

  #spawn(number: number): RouterProcess {
    const { command, argv, clock, handlers } = this.#options
    const id = this.#nextId++
    const startedAt = clock.now()
    const process = new RouterProcess({ id, number, command, argv, handlers: handlers(id) })
    this.#all = [...this.#all, process]
    void process.ended.then((exit) => this.#ended(process, exit, clock.now() - startedAt))
    return process
  }

  async #begin(process: RouterProcess): Promise<void> {
    await process.start(await this.#options.order(process.number))
    if (process.serving) this.#options.events.serving(process)
  }

  #ended(process: RouterProcess, exit: Exit, livedMs: number): void {
    const { number } = process
    this.#all = this.#all.filter((other) => other !== process)
    this.#asked.delete(process)
    const restartMs = this.#phase === 'stopping' ? undefined : this.#delayOf(number).after(livedMs)
    this.#options.events.ended(process, exit, restartMs)
    if (this.#phase === 'up' && restartMs !== undefined) this.#replace(number, restartMs)
  }

  #replace(number: number, delayMs: number): void {
    this.#after(delayMs, () => {
      const failed = (error: unknown): void => {
        if (this.#phase !== 'stopping') this.#options.events.startFailed(number, error)
      }
      try {
        const process = this.#spawn(number)
        const late = this.#after(startMs, () => process.kill())
        this.#begin(process)
          // Its end has it replaced again, later.
          .catch((error: unknown) => [failed(error), process.kill()])
          .finally(late)
      } catch (error) {
        // The system has no more processes or descriptors to give at this moment.
        failed(error)
        this.#replace(number, this.#delayOf(number).after(0))
      }
    })
  }

  #delayOf(number: number): RestartDelay {
    const delay = this.#delays.get(number) ?? new RestartDelay()
    this.#delays.set(number, delay)
    return delay
  }

  /** Asks each process for a sign of life, again and again: one that hangs keeps its share of the connections waiting. */
  #watch(): void {
    this.#after(pingMs, () => {
      const now = this.#options.clock.now()
      for (const process of this.#all) {
        const since = this.#asked.get(process)
        if (since === undefined) {
          this.#asked.set(process, now)
          void process.channel.call('ping', null).then(
            () => this.#asked.delete(process),
            () => {},
          )
        } else if (now - since > hungMs) {
          this.#options.events.hung(process)
          process.kill()
        }
      }
      this.#watch()
    })
  }

  #after(ms: number, fire: () => void): () => void {
    const cancel = this.#options.clock.after(ms, () => {
      this.#timers.delete(cancel)
      fire()
    })
    this.#timers.add(cancel)
    return () => {
      this.#timers.delete(cancel)
      cancel()
    }
  }

  #stopTimers(): void {
    this.#phase = 'stopping'
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
  }
}

/** Milliseconds that a process must have served for its end to be a single mishap. */
const stableMs = 10_000
const firstMs = 100
const longestMs = 10_000

/** How long to wait before an ended process is replaced: not at all, unless one end follows the other. */
export class RestartDelay {
  #next = 0

  /** @param livedMs how long it had lived */
  after(livedMs: number): number {
    if (livedMs >= stableMs) this.#next = 0
    const delay = this.#next
    this.#next = Math.min(longestMs, Math.max(firstMs, delay * 2))
    return delay
  }
}
