import { loadConfig } from '../config/load-config.ts'
import { printConfig } from '../config/print-config.ts'
import { formatProblems } from '../config/problem.ts'
import { tlsFaults } from '../config/tls-faults.ts'
import type { Command, CommandContext } from './cli.ts'

/** Says whether the configuration is right, or what it is; exit code 2 when it is wrong. */
export async function checkConfig(
  { verb, argv }: Extract<Command, { verb: 'check-config' | 'print-config' | 'health' }>,
  context: CommandContext,
): Promise<number> {
  const { out, err } = context
  const loaded = await loadConfig({ ...context, argv })
  if (!loaded.ok) {
    err(`${formatProblems(loaded.faults)}\n`)
    return 2
  }
  if (verb === 'print-config') {
    out(printConfig(loaded.config, loaded.origins))
    return 0
  }
  const wrongFiles = tlsFaults(loaded.config)
  if (wrongFiles.length > 0) err(`${formatProblems(wrongFiles)}\n`)
  else out('ok\n')
  return wrongFiles.length > 0 ? 2 : 0
}
