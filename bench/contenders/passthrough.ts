import { fileURLToPath } from 'node:url'
import { startProcess } from '../background-process.ts'
import { freePort } from '../free-port.ts'
import { type Runtime, runtimeBinary } from '../runtime-binary.ts'
import type { Contender } from './contender.ts'
import { versionOf } from './version-of.ts'

const clients = {
  bun: '`Bun.serve` and `fetch`',
  node: '`node:http` and undici `dispatch`',
} as const

/** The least that a proxy on that runtime costs: what any router on it has to be compared with. */
export function passthrough(runtime: Runtime): Contender {
  return bare({
    ...{ name: `bare-${runtime}`, runtime, file: `passthrough-${runtime}.ts` },
    about: `bare passthrough: ${clients[runtime]}, the answer handed on untouched`,
  })
}

/** The same over sockets, as the router reaches its workers. Answers whose body has come in two pieces it cannot. */
export function socketPassthrough(runtime: Runtime): Contender {
  return bare({
    ...{ name: `bare-sockets-${runtime}`, runtime, file: 'passthrough-sockets.ts' },
    about: "bare passthrough: the runtime's own HTTP server, `node:net` towards the workers",
  })
}

interface Bare {
  readonly name: string
  readonly runtime: Runtime
  readonly file: string
  readonly about: string
}

function bare({ name, runtime, file, about }: Bare): Contender {
  const program = fileURLToPath(new URL(file, import.meta.url))
  return {
    name,
    about,
    version: () => versionOf(runtimeBinary(runtime), '--version'),
    async start({ workers, directory }) {
      const port = await freePort()
      const running = await startProcess({
        command: runtimeBinary(runtime),
        args: [program, String(port), ...workers],
        directory,
        name,
        env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: '65535' },
        readyUrl: `http://127.0.0.1:${port}/health`,
      })
      return { host: `127.0.0.1:${port}`, process: running }
    },
  }
}
