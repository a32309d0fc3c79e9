/** The simulated vLLM server as a process of its own, so that it can be killed, stopped and started again. */

import { type Exit, entryOf, type Program, type Runtime, startProgram } from './child.ts'
import type { Scope } from './scope.ts'

export interface SimOptions {
  /** Default: see `entryOf`. */
  readonly file?: string
  /** Flags of `sim/main.ts`, besides `--port` and `--host`. */
  readonly args?: readonly string[]
  /** Default 0: a free one. */
  readonly port?: number
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly runtime?: Runtime
  /** Milliseconds until it must listen, default 20000. */
  readonly withinMs?: number
  readonly t?: Scope
}

export interface SimProcess {
  readonly url: string
  readonly port: number
  readonly pid: number
  lines(): readonly string[]
  stderr(): string
  signal(signal: NodeJS.Signals): void
  /** Ends it, with SIGKILL unless told, and waits until it is gone. */
  kill(signal?: NodeJS.Signals): Promise<Exit>
  /** Starts it again on the same port, with the same flags; ends it before when it still runs. */
  restart(): Promise<void>
}

export async function startSim(options: SimOptions = {}): Promise<SimProcess> {
  let { program, url } = await launch(options, options.port ?? 0)
  const port = Number(new URL(url).port)
  options.t?.after(() => program.kill())
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> => {
    if (signal === 'SIGKILL') return await program.kill()
    program.signal(signal)
    return await program.exited
  }
  return {
    url,
    port,
    get pid() {
      return program.pid
    },
    lines: () => program.lines(),
    stderr: () => program.stderr(),
    signal: (signal) => program.signal(signal),
    kill,
    restart: async () => {
      await program.kill()
      ;({ program, url } = await launch(options, port))
    },
  }
}

async function launch(options: SimOptions, port: number): Promise<{ program: Program; url: string }> {
  const { args = [], env, runtime, withinMs = 20_000 } = options
  const { file = entryOf('sim', runtime) } = options
  const place = ['--host', '127.0.0.1', '--port', String(port)]
  const program = startProgram({
    file,
    args: [...place, ...args],
    runtime,
    ...(env && { env }),
  })
  const url = await program.line(
    (line) => /^simulated vLLM .* on (http:\/\/\S+)/.exec(line)?.[1],
    'the line "simulated vLLM ... on http://..."',
    withinMs,
  )
  return { program, url: url.replace(/\/$/, '') }
}
