import { text } from 'node:stream/consumers'
import { environment } from '../config/environment.ts'
import { version } from '../config/version.ts'
import { isOrder, type Signals } from '../runtime/signals.ts'
import { type Command, parseCommand, runCommand } from './cli.ts'
import { terminalOf } from './live/terminal.ts'

/** The process: command line in, exit code out. */
export async function runProgram(argv: readonly string[], signals: Signals): Promise<number> {
  try {
    return await run(argv, signals)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    return 1
  }
}

async function run(argv: readonly string[], signals: Signals): Promise<number> {
  const env = environment()
  // `bun run app -- --port 1` hands the dashes on.
  const command = parseCommand(argv[0] === '--' ? argv.slice(1) : argv)
  const colour = env.NO_COLOR === undefined
  if (command.verb === 'serve') {
    // Loaded here and not above: it is the whole router, and no other verb needs it.
    const { serveProgram } = await import('./serve-program.ts')
    return serveProgram({ argv: command.argv, env, colour, signals })
  }
  if (command.verb === 'process') {
    const { serveProcess } = await import('../processes/serve-process.ts')
    return serveProcess({ argv: command.argv, env, colour, signals })
  }
  return ask(command, signals)
}

/** As a shell says it: 128 and the number of the signal. */
const exitCodes: Partial<Record<NodeJS.Signals, number>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }

async function ask(
  command: Exclude<Command, { verb: 'serve' | 'process' }>,
  signals: Signals,
): Promise<number> {
  const { stdout, stderr } = process
  const env = environment()
  // A terminal that is gone ends what is shown on it.
  signals.take((signal) => (isOrder(signal) || signal === 'SIGHUP') && process.exit(exitCodes[signal]))
  // `vllm-router requests --follow | head`: nobody reads on.
  stdout.on('error', () => process.exit(1))
  return runCommand(command, {
    ...{ version, env, terminal: terminalOf(process, env) },
    out: (said) => void stdout.write(said),
    err: (said) => void stderr.write(said),
    stdin: () => text(process.stdin),
  })
}
