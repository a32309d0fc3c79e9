import { join } from 'node:path'
import type { Config } from '../config/settings.ts'
import { makeUsageDirectory } from '../config/usage-directory.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { SqliteStore } from '../usage/sqlite-store.ts'
import { type UsageEvents, UsageKeeper } from '../usage/usage-keeper.ts'
import { MemoryStore, type UsageStore } from '../usage/usage-store.ts'

export interface UsageParts {
  readonly metrics: Metrics
  readonly log: Log
  readonly clock: Clock
  /** Where it is kept instead of where the configuration says. */
  readonly store?: UsageStore | undefined
}

/**
 * Makes what keeps the usage that the router counts.
 *
 * @throws ConfigError when there can be no file in the directory that the configuration names
 */
export function createUsageKeeper(config: Config, { metrics, log, clock, store }: UsageParts): UsageKeeper {
  return new UsageKeeper({
    clock,
    store: store ?? storeOf(config),
    wallNow: Date.now,
    retentionDays: config.usageRetentionDays,
    events: usageEvents(metrics, log),
  })
}

function storeOf(config: Config): UsageStore {
  const directory = makeUsageDirectory(config)
  return directory === undefined ? new MemoryStore() : new SqliteStore(join(directory, 'usage.sqlite'))
}

function usageEvents(metrics: Metrics, log: Log): UsageEvents {
  let before: string | undefined
  return {
    usageFailed(reason) {
      metrics.usageWriteErrors.of().inc()
      const level = reason === before ? 'debug' : 'error'
      before = reason
      log[level]({ reason }, 'usage could not be written; it is kept in memory and tried again')
    },
    usageRecovered() {
      before = undefined
      log.info({}, 'usage is written again')
    },
  }
}
