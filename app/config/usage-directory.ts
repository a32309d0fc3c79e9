import { accessSync, constants, mkdirSync } from 'node:fs'
import { ConfigError } from './problem.ts'
import type { Config } from './settings.ts'

/**
 * Makes the directory of the usage where it is not there yet.
 *
 * @throws ConfigError where it cannot be made, or not be written into
 */
export function makeUsageDirectory({ usageDir }: Pick<Config, 'usageDir'>): string | undefined {
  if (usageDir === undefined) return undefined
  try {
    mkdirSync(usageDir, { recursive: true })
    accessSync(usageDir, constants.R_OK | constants.W_OK | constants.X_OK)
    return usageDir
  } catch (error) {
    const problem = `it cannot be written into: ${(error as Error).message}`
    throw new ConfigError([{ name: '--usage-dir', origin: usageDir, problem }])
  }
}
