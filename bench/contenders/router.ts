import { join } from 'node:path'
import { startProcess } from '../background-process.ts'
import { freePort } from '../free-port.ts'
import { type Runtime, runtimeBinary } from '../runtime-binary.ts'
import type { Contender } from './contender.ts'
import { versionOf } from './version-of.ts'

export interface RouterOptions {
  readonly runtime: Runtime
  /** Where its source is. */
  readonly directory: string
  readonly logLevel?: 'info' | 'warn'
  /** Another policy than the default one: what its choice costs. */
  readonly policy?: string
  /** More flags, for what is tried out. */
  readonly flags?: readonly string[]
}

/** This router, unbuilt, with every default: checks, breaker, metrics, probes, one log line per request into a file. */
export function router({
  runtime,
  directory: source,
  logLevel = 'info',
  policy,
  flags = [],
}: RouterOptions): Contender {
  const name = `router-${runtime}${logLevel === 'info' ? '' : `-${logLevel}`}${policy === undefined ? '' : `-${policy}`}`
  const chosenBy = policy === undefined ? [] : ['--policy', policy]
  return {
    name,
    about: `this router, all defaults, log level ${logLevel} as JSON lines into a file${policy === undefined ? '' : `, policy ${policy}`}`,
    version: () => versionOf(runtimeBinary(runtime), '--version'),
    async start({ workers, directory }) {
      const port = await freePort()
      const operations = await freePort()
      const listen = ['--port', String(port), '--prometheus-port', String(operations)]
      const log = ['--log-format', 'json', '--log-level', logLevel]
      const urls = workers.map((worker) => `http://${worker}`)
      const running = await startProcess({
        command: runtimeBinary(runtime),
        args: [
          join(source, 'app/main.ts'),
          ...listen,
          ...log,
          ...chosenBy,
          ...flags,
          '--worker-urls',
          ...urls,
        ],
        directory,
        name,
        cwd: source,
        readyUrl: `http://127.0.0.1:${port}/health`,
      })
      return { host: `127.0.0.1:${port}`, metricsHost: `127.0.0.1:${operations}`, process: running }
    },
  }
}
