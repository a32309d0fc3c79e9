import { globSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { startProcess } from '../background-process.ts'
import { freePort } from '../free-port.ts'
import { installed } from '../installed.ts'
import type { Contender } from './contender.ts'

export const rustRouter: Contender = {
  name: 'rust-router',
  about: 'the vLLM Router (Rust; `pip install vllm-router`), round robin, log level warning',
  native: true,
  version: () => versionBeside(installed('vllm-router')),
  async start({ workers, directory }) {
    const port = await freePort()
    const listen = ['--port', String(port), '--prometheus-port', String(await freePort())]
    const process = await startProcess({
      command: installed('vllm-router') ?? 'vllm-router',
      args: [
        ...listen,
        ...['--policy', 'round_robin', '--log-level', 'warning'],
        ...['--worker-urls', ...workers.map((worker) => `http://${worker}`)],
      ],
      directory,
      name: 'vllm-router',
      readyUrl: `http://127.0.0.1:${port}/health`,
    })
    return { host: `127.0.0.1:${port}`, process }
  },
}

/** It does not tell its version; pip writes it beside its library. */
function versionBeside(program: string | undefined): string | undefined {
  if (program === undefined) return undefined
  const library = join(dirname(realpathSync(program)), '..', 'lib')
  const [found = ''] = globSync('python*/site-packages/vllm_router-*.dist-info', { cwd: library })
  return /vllm_router-([\d.]+\d)/.exec(found)?.[1] ?? 'unknown'
}
