import type { Config } from '../config/settings.ts'
import { createUsageKeeper, type UsageParts } from '../gateway/usage.ts'
import { within } from '../runtime/clock.ts'
import type { UsageKeeper } from '../usage/usage-keeper.ts'
import { type UsageFilter, type UsageReport, usageReport } from '../usage/usage-report.ts'
import type { UsageRow } from '../usage/usage-row.ts'

/** The part of a process that its usage needs. */
interface CountingProcess {
  readonly channel: { call(name: 'flushUsage', argument: null): Promise<null> }
}

export interface GroupUsageOptions extends UsageParts {
  readonly config: Config
  readonly serving: () => readonly CountingProcess[]
}

/** Milliseconds that a process may take to hand on what it has counted; without it, the others' counts. */
const answerMs = 2000

/** The usage of all processes as that of one router. */
export class GroupUsage {
  readonly #options: GroupUsageOptions
  readonly #keeper: UsageKeeper

  /** @throws ConfigError as `createUsageKeeper` */
  constructor(options: GroupUsageOptions) {
    this.#options = options
    this.#keeper = createUsageKeeper(options.config, options)
  }

  /** A process has counted this. What cannot be written is kept here. */
  async add(rows: readonly UsageRow[]): Promise<null> {
    await this.#keeper.add(rows).catch(() => {})
    return null
  }

  /** With what all have counted until now. */
  async report(filter: UsageFilter): Promise<UsageReport> {
    const { serving, clock } = this.#options
    const flushed = serving().map(({ channel }) => within(clock, answerMs, channel.call('flushUsage', null)))
    await Promise.allSettled(flushed)
    return usageReport(this.#keeper, filter)
  }

  set retentionDays(days: number) {
    this.#keeper.retentionDays = days
  }

  close(): Promise<void> {
    return this.#keeper.close()
  }
}
