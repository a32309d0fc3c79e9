import type { Environment } from '../config/environment.ts'
import type { Config } from '../config/settings.ts'
import type { Signals } from '../runtime/signals.ts'
import { guardProcess } from '../telemetry/guard-process.ts'
import { createLog } from '../telemetry/log.ts'
import { OwnProcess } from './own-process.ts'

export interface ServeProcessOptions {
  readonly argv: readonly string[]
  readonly env: Environment
  readonly colour: boolean
  readonly signals: Signals
}

/** Runs this process as one of several until its supervisor ends it, or is gone; resolves with the exit code. */
export async function serveProcess({ argv, env, colour, signals }: ServeProcessOptions): Promise<number> {
  if (process.send === undefined) {
    process.stderr.write('the verb "process" is for the router itself: use --processes\n')
    return 2
  }
  const terminal = process.stdout.isTTY === true
  const own = new OwnProcess({
    port: process,
    argv,
    env,
    createLog({ logLevel = 'info', logFormat = 'auto' }: Partial<Config>, number) {
      const fields = { process: number }
      const log = createLog({
        level: logLevel,
        format: logFormat,
        terminal,
        colour: terminal && colour,
        fields,
        manyWriters: true,
      })
      guardProcess(log)
      return log
    },
  })
  // SIGTERM is meant for this process alone, or sent to all of a service by its manager. Either way no stream is cut.
  // Of all others, Ctrl-C included, a terminal sends one to each of them: the supervisor decides.
  signals.take((signal) => signal === 'SIGTERM' && own.stop({ settle: true }))
  // The supervisor is gone, and perhaps another one is waiting for the port.
  process.on('disconnect', () => own.stop({ settle: false }))
  await own.ended
  // The pipe to the supervisor would keep the process alive.
  process.exit(0)
}
