/** Real vLLM servers on the CPU, each a process of its own. */

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { quietPort } from '../support/quiet-port.ts'

export interface ServerOptions {
  /** Where vLLM and the models are installed. */
  readonly folder: string
  /** Also of its log. */
  readonly name: string
  /** What it calls its model. */
  readonly model: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface Server {
  readonly url: string
  readonly pid: number
  stop(): Promise<void>
}

/** Seconds until a server must be healthy: it takes some 25 alone, and longer beside others. */
const patienceSecs = 300

export async function startServer({ folder, name, model, args = [], env }: ServerOptions): Promise<Server> {
  const port = await quietPort()
  const logFile = join(folder, `${name}.log`)
  const log = openSync(logFile, 'w')
  const served = [
    'serve',
    'tiny',
    '--served-model-name',
    model,
    '--host',
    '127.0.0.1',
    '--port',
    String(port),
  ]
  const small = ['--enforce-eager', '--max-model-len', '4096', '--max-num-seqs', '16']
  const child = spawn(join(folder, 'venv/bin/vllm'), [...served, ...small, ...args], {
    cwd: folder,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...quiet, ...env },
    // Its engine is a process beside it: as a group both can be ended.
    detached: true,
  })
  closeSync(log)
  const url = `http://127.0.0.1:${port}`
  const server = { url, pid: child.pid ?? 0, stop: () => stop(child) }
  for (let second = 0; second < patienceSecs; second++) {
    if (child.exitCode !== null) break
    const healthy = await fetch(`${url}/health`).then(
      ({ status }) => status === 200,
      () => false,
    )
    if (healthy) return server
    await pause(1000)
  }
  await server.stop()
  throw new Error(`${name} did not become healthy:\n${readFileSync(logFile, 'utf8').slice(-3000)}`)
}

const quiet = {
  HF_HUB_OFFLINE: '1',
  TRANSFORMERS_OFFLINE: '1',
  DO_NOT_TRACK: '1',
  VLLM_NO_USAGE_STATS: '1',
  VLLM_CPU_KVCACHE_SPACE: '1',
  VLLM_CPU_OMP_THREADS_BIND: 'nobind',
  OMP_NUM_THREADS: '1',
  VLLM_HOST_IP: '127.0.0.1',
  GLOO_SOCKET_IFNAME: 'lo',
  VLLM_ENABLE_RESPONSES_API_STORE: '1',
  VLLM_ALLOW_RUNTIME_LORA_UPDATING: '1',
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  process.kill(-child.pid, 'SIGKILL')
  await ended
}
