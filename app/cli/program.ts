import { environment } from '../config/environment.ts'
import { loadConfig } from '../config/load-config.ts'
import { formatProblems } from '../config/problem.ts'
import { version } from '../config/version.ts'
import { workerTlsFaults } from '../config/worker-tls.ts'
import { isOrder, type Signals } from '../runtime/signals.ts'
import { parseCommand, runCommand } from './cli.ts'
import { readNoting } from './config-watch.ts'
import { serve } from './serve.ts'

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
  const out = (text: string) => void process.stdout.write(text)
  const err = (text: string) => void process.stderr.write(text)
  // `bun run app -- --port 1` hands the dashes on.
  const command = parseCommand(argv[0] === '--' ? argv.slice(1) : argv)
  const colour = env.NO_COLOR === undefined
  if (command.verb === 'process') {
    const { serveProcess } = await import('../processes/serve-process.ts')
    return serveProcess({ argv: command.argv, env, colour, signals })
  }
  if (command.verb !== 'serve') {
    // As a shell says it: 128 and the number of the signal.
    signals.take((signal) => isOrder(signal) && process.exit(signal === 'SIGINT' ? 130 : 143))
    return runCommand(command, { version, env, out, err })
  }
  let readVersion: string | undefined
  const readFile = readNoting((noted) => {
    readVersion = noted
  })
  const loaded = await loadConfig({ argv: command.argv, env, readFile })
  if (!loaded.ok) {
    err(`${formatProblems(loaded.faults)}\n`)
    return 2
  }
  const wrongFiles = workerTlsFaults(loaded.config)
  if (wrongFiles.length > 0) {
    err(`${formatProblems(wrongFiles)}\n`)
    return 2
  }
  return serve(loaded.config, { colour, argv: command.argv, env, signals, readVersion })
}
