import { startProcess } from '../background-process.ts'
import { freePort } from '../free-port.ts'
import { installed } from '../installed.ts'
import type { Contender } from './contender.ts'
import { versionOf } from './version-of.ts'

export const rustRouter: Contender = {
  name: 'vllm-router',
  about: 'the vLLM Router (Rust), when on the path; round robin, log level warn',
  native: true,
  version: () => versionOf(installed('vllm-router'), '--version'),
  async start({ workers, directory }) {
    const port = await freePort()
    const listen = ['--port', String(port), '--prometheus-port', String(await freePort())]
    const process = await startProcess({
      command: installed('vllm-router') ?? 'vllm-router',
      args: [
        ...listen,
        ...['--policy', 'round_robin', '--log-level', 'warn'],
        ...['--worker-urls', ...workers.map((worker) => `http://${worker}`)],
      ],
      directory,
      name: 'vllm-router',
      readyUrl: `http://127.0.0.1:${port}/health`,
    })
    return { host: `127.0.0.1:${port}`, process }
  },
}
