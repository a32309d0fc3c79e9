/**
 * The tests against a real vLLM on the CPU: `npm run test:vllm`. Not part of `npm test`: the first run installs 5 GB into
 * `.vllm/` (or VLLM_HOME), and each starts four servers.
 */

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runtimeBinary } from '../support/child.ts'
import { quietPort } from '../support/quiet-port.ts'
import { type Server, startServer } from './servers.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = process.env.VLLM_HOME ?? join(root, '.vllm')
const suite = './tests/vllm/fleet.vllm.ts'
const say = (line: string): boolean => process.stdout.write(`${line}\n`)

if (!existsSync(join(folder, 'venv/bin/vllm')) || !existsSync(join(folder, 'adapter'))) {
  say(`installing vLLM into ${folder}; that takes some minutes and 5 GB`)
  const { status } = spawnSync('bash', [join(root, 'tests/vllm/install.sh'), folder], { stdio: 'inherit' })
  if (status !== 0) process.exit(1)
}

const lora = ['--enable-lora', '--max-lora-rank', '8']
// What it speaks by default is gRPC.
const env = { OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/protobuf' }
const start = (name: string, model: string, args: readonly string[]): Promise<Server> =>
  startServer({ folder, name, model, args, env })
const servers: Server[] = []
let failed = false
try {
  const started = performance.now()
  const [first, second, embed] = await Promise.all([
    start('first', 'first', lora),
    start('second', 'second', ['--api-key', 'worker-key']),
    start('embed', 'embed', ['--runner', 'pooling', '--convert', 'embed']),
  ])
  servers.push(first, second, embed)
  say(`three servers after ${seconds(started)} s`)
  for (const runtime of ['node', 'bun'] as const) {
    // The tests listen there: this process waits for their end.
    const spansPort = await quietPort()
    const traced = ['--otlp-traces-endpoint', `http://127.0.0.1:${spansPort}/v1/traces`]
    const victim = await start('victim', 'first', [...lora, ...traced])
    servers.push(victim)
    const fleet = { first: first.url, victim: victim.url, victimPid: victim.pid }
    const rest = { folder, second: second.url, embed: embed.url, spansPort }
    const began = performance.now()
    const { status } = spawnSync(runtimeBinary(runtime), [...testFlags(runtime), suite], {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, VLLM_FLEET: JSON.stringify({ ...fleet, ...rest }) },
    })
    say(`${runtime}: ${status === 0 ? 'ok' : 'FAILED'} after ${seconds(began)} s`)
    failed ||= status !== 0
    await victim.stop()
  }
} finally {
  await Promise.all(servers.map((server) => server.stop()))
}
process.exitCode = failed ? 1 : 0

function testFlags(runtime: 'node' | 'bun'): readonly string[] {
  return runtime === 'node' ? ['--test'] : ['test', '--timeout', '300000']
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(0)
}
