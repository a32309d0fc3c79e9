/** The verb with which the program starts as one of several processes; not for people. */
export const processVerb = 'process'

/** What starts this very program again, up to its own arguments. */
export interface OwnCommand {
  readonly file: string
  readonly args: readonly string[]
}

export function ownCommand(): OwnCommand {
  const file = process.execPath
  if (process.versions.bun === undefined) return { file, args: [...process.execArgv, process.argv[1] ?? ''] }
  // A compiled program is its own script.
  const compiled = Bun.main.includes('$bunfs') || Bun.main.includes('~BUN')
  return { file, args: compiled ? [] : [Bun.main] }
}
