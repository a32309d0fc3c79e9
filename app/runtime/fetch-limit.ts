import { ownCommand } from './own-command.ts'

/** Highest value that Bun takes. */
const most = '65535'
const variable = 'BUN_CONFIG_MAX_HTTP_REQUESTS'

/**
 * Bun's fetch lets 256 requests be in flight in a process and has all others wait without a word. Only a variable that is
 * there before the process starts lifts that. So a process that lacks it replaces itself, same id, same arguments, with
 * one that has it. Does nothing on Node.
 *
 * @throws Error where the process cannot be replaced; it says what to do instead
 */
export function liftFetchLimit(env: Readonly<Record<string, string | undefined>>): void {
  if (process.versions.bun === undefined || env[variable] !== undefined) return
  const { execve } = process as { execve?: (file: string, args: readonly string[], env: object) => never }
  const { file, args } = ownCommand()
  try {
    if (execve === undefined) throw new Error('this system cannot replace a process')
    execve(file, [file, ...args, ...process.argv.slice(2)], {
      ...env,
      [variable]: most,
    })
  } catch (error) {
    throw new Error(
      `Bun would let only 256 requests be in flight, and the limit could not be lifted (${(error as Error).message}): ` +
        `set ${variable}=${most} in the environment and start again`,
      { cause: error },
    )
  }
}
