import { collectKeys } from './collect-keys.ts'
import { ConfigError } from './problem.ts'
import { resolve } from './resolve.ts'
import type { Config, ConfigInput } from './settings.ts'

/**
 * Completes and checks the options of a program that uses the router as a library: the same settings, defaults and
 * checks as on the command line, no flags, no environment, no file. A Config is valid input and comes out equal.
 *
 * @throws {ConfigError} with every fault
 */
export function resolveOptions(options: ConfigInput = {}): Config {
  const keys = Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .map(([written, value]: [string, unknown]) => ({
      written,
      value,
      origin: { source: 'option', text: `option ${written}` } as const,
    }))
  const reading = collectKeys(keys, true)
  const { config, faults } = resolve([reading.values])
  const all = [...reading.faults, ...faults]
  if (all.length > 0) throw new ConfigError(all)
  return config
}
