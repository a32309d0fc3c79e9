import { RouterError } from '../../http/errors.ts'
import { ConfigError, type ConfigProblem } from '../config/problem.ts'
import type { Config } from '../config/settings.ts'
import { type Clock, within } from '../runtime/clock.ts'
import type { Log } from '../telemetry/logger.ts'
import type { ProcessCalls } from './calls.ts'

/** Milliseconds that a process may take to prepare, and again to take over. */
export const reloadAnswerMs = 5000

/** The part of a process that a reload needs. */
export interface ReloadingProcess {
  readonly id: number
  readonly number: number
  readonly channel: {
    call<N extends 'prepare' | 'commit'>(name: N, argument: ProcessCalls[N][0]): Promise<ProcessCalls[N][1]>
  }
  kill(): void
}

export interface GroupReloadOptions {
  /** Unlike that of any other reload. */
  readonly reload: number
  /** Those that there are at the moment, those that are only starting included. */
  readonly processes: () => readonly ReloadingProcess[]
  /** What the process with that number gets. */
  readonly share: (number: number) => Partial<Config>
  readonly clock: Clock
  readonly log: Log
}

/**
 * One configuration for all processes, or for none: first each of them makes what it needs, then all take it over. A
 * process that is gone counts as one that has: its replacement starts with what is in force.
 */
export class GroupReload {
  readonly #options: GroupReloadOptions
  readonly #prepared = new Set<number>()

  constructor(options: GroupReloadOptions) {
    this.#options = options
  }

  /** @throws ConfigError with what each process says against it; then nothing has changed in any of them */
  async prepare(): Promise<void> {
    const asked = this.#options.processes().map(async (process) => {
      this.#prepared.add(process.id)
      const problems = await this.#askToPrepare(process)
      return problems.map((problem) => ({
        ...problem,
        origin: `process ${process.number}, ${problem.origin}`,
      }))
    })
    const problems = (await Promise.all(asked)).flat()
    if (problems.length > 0) throw new ConfigError(problems)
  }

  /** To be called in the very turn in which the configuration comes into force for processes that are started. */
  async commit(): Promise<void> {
    await Promise.all(this.#options.processes().map((process) => this.#commit(process)))
  }

  async #askToPrepare(process: ReloadingProcess): Promise<readonly ConfigProblem[]> {
    const { clock } = this.#options
    try {
      return await within(clock, reloadAnswerMs, this.#sendPrepare(process), () => new Late())
    } catch (error) {
      return isGone(error) ? [] : [{ name: 'reload', origin: 'reload', problem: messageOf(error) }]
    }
  }

  #sendPrepare({ number, channel }: ReloadingProcess): Promise<readonly ConfigProblem[]> {
    const { reload, share } = this.#options
    return channel.call('prepare', { reload, config: share(number) })
  }

  async #commit(process: ReloadingProcess): Promise<void> {
    const { reload, clock, log } = this.#options
    const { id, number, channel } = process
    // It was started in between, and may have what was in force before. What is wrong fails its commit.
    if (!this.#prepared.has(id)) this.#sendPrepare(process).catch(() => {})
    const details = (error: unknown) => ({ process: number, reason: messageOf(error) })
    const committed = channel.call('commit', reload).then(
      () => {},
      (error: unknown) => {
        if (isGone(error)) return
        log.error(details(error), 'process did not take the configuration over; it is replaced')
        process.kill()
      },
    )
    // It has been told: it obeys in its next turn, or hangs for good and is replaced.
    await within(clock, reloadAnswerMs, committed, () => new Late()).catch((error: unknown) => {
      log.warn(details(error), 'process has not yet taken the configuration over')
    })
  }
}

class Late extends Error {
  constructor() {
    super(`no answer within ${reloadAnswerMs / 1000} s`)
  }
}

/** The pipe to the process is closed. */
function isGone(error: unknown): boolean {
  return error instanceof RouterError && error.code === 'draining'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
