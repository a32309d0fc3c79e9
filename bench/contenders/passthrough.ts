import { fileURLToPath } from 'node:url'
import { startProcess } from '../background-process.ts'
import { freePort } from '../free-port.ts'
import { type Runtime, runtimeBinary } from '../runtime-binary.ts'
import type { Contender } from './contender.ts'
import { versionOf } from './version-of.ts'

/** The least that a proxy on that runtime costs: what any router on it has to be compared with. */
export function passthrough(runtime: Runtime): Contender {
  const program = fileURLToPath(new URL(`passthrough-${runtime}.ts`, import.meta.url))
  return {
    name: `bare-${runtime}`,
    about:
      runtime === 'bun'
        ? 'bare passthrough: `Bun.serve` and `fetch`, the answer handed on untouched'
        : 'bare passthrough: `node:http` and undici `dispatch`',
    version: () => versionOf(runtimeBinary(runtime), '--version'),
    async start({ workers, directory }) {
      const port = await freePort()
      const running = await startProcess({
        command: runtimeBinary(runtime),
        args: [program, String(port), ...workers],
        directory,
        name: `bare-${runtime}`,
        env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: '65535' },
        readyUrl: `http://127.0.0.1:${port}/health`,
      })
      return { host: `127.0.0.1:${port}`, process: running }
    },
  }
}
