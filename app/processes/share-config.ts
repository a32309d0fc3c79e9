import { kebabCase } from '../config/kinds/setting.ts'
import { ConfigError, type ConfigProblem } from '../config/problem.ts'
import { resolveOptions } from '../config/resolve-options.ts'
import { sharedCap } from '../config/rules.ts'
import type { Config, ConfigInput } from '../config/settings.ts'
import { bufferBound } from '../runtime/available-memory.ts'

/**
 * The configuration of one of `count` processes: what would add up is divided, what the supervisor keeps is left out.
 * Code cannot be sent; the process loads that itself.
 *
 * @param number from 1
 */
export function shareConfig(config: Config, number: number, count: number): Partial<Config> {
  const { middleware: _, selectionPolicies: __, ...plain } = config
  const cap = config.maxConcurrentRequestsPerWorker
  // The first processes take what is left of the division: together it is the cap exactly.
  const ownCap = cap === undefined ? undefined : Math.floor(cap / count) + (number <= cap % count ? 1 : 0)
  return {
    ...plain,
    processes: 1,
    demo: 0,
    config: undefined,
    maxBufferedBytes: Math.max(1, Math.floor(bufferBound(config.maxBufferedBytes) / count)),
    maxConcurrentRequests: undefined,
    slotsForHighPriority: 0,
    maxConcurrentRequestsPerWorker: ownCap,
    rateLimitTokensPerSecond: undefined,
    usageDir: undefined,
    retryBudgetMinPerSec: config.retryBudgetMinPerSec / count,
  }
}

/**
 * Completes and checks the configuration of a process. Lists of keys are the same for all, and have been checked where
 * they were read: a thousand entries would hold each process up for 30 ms.
 *
 * @throws ConfigError with every fault
 */
export function resolveShare({ keys, fileKeys, ...share }: Partial<Config>): Config {
  const lists = { keys: keys && [], fileKeys: fileKeys && [] }
  return Object.freeze({ ...resolveOptions({ ...share, ...lists } as ConfigInput), keys, fileKeys })
}

/** What keeps `count` processes from sharing a configuration that is right as a whole. */
export function shareFaults(config: Config, count: number): readonly ConfigProblem[] {
  const caps = [...sharedCap(config, count)]
  if (caps.length > 0) {
    return caps.map(({ key, ...finding }) => ({ name: `--${kebabCase(key)}`, origin: 'reload', ...finding }))
  }
  const { middleware, selectionPolicies } = config
  for (let number = 1; number <= count; number++) {
    try {
      resolveShare({ ...shareConfig(config, number, count), middleware, selectionPolicies })
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      return error.faults.map((fault) => ({ ...fault, origin: `process ${number}, ${fault.origin}` }))
    }
  }
  return []
}

/** Slots and rates are asked for by processes that were started with them. */
export function sharedLimits(before: Config, after: Config): ConfigProblem[] {
  const keys = ['maxConcurrentRequests', 'rateLimitTokensPerSecond'] as const
  return keys
    .filter((key) => (before[key] === undefined) !== (after[key] === undefined))
    .map((key) => ({
      name: `--${kebabCase(key)}`,
      origin: 'reload',
      problem: 'with several processes it can be changed while the router runs, but not set or taken away',
      hint: 'restart the router for it',
    }))
}
