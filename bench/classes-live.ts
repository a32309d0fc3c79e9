/**
 * `npm run bench:classes-live`: what a burst of the low class costs the first token of the high class, with and without
 * slots that are kept for it. A router at its cap in front of simulated vLLM servers; quiet times and bursts take turns.
 */

import { hash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type BackgroundProcess, startProcess } from './background-process.ts'
import { freePort } from './free-port.ts'
import { type Runtime, repository, runtimeBinary } from './runtime-binary.ts'

const usage = `node bench/classes-live.ts [flags]
  --turns N         quiet times and bursts, of each so many; default 10
  --seconds N       of each; default 3
  --processes N     of the router; default 1
  --runtime NAME    bun or node; default both
`

/** Slots, and how many of them are kept; the high class never has more requests in flight than are kept. */
const cap = 32
const kept = 8
const highClients = 6
/** Three times as many as there are slots: the queue holds the others. */
const lowClients = 96

/** First token after 100 ms, then one each 10 ms: a request holds its slot for 0.4 s. */
const engine = ['--ttft-ms', '100', '--token-ms', '10']
const answerTokens = 30

const classes = ['high', 'low'] as const
type Class = (typeof classes)[number]
const keyOf = (name: Class): string => `sk-${name}-${'0'.repeat(32)}`
const agent = new Agent({ keepAlive: true })

/** Milliseconds to the first token; undefined: it was not answered to the end. */
function ask(port: number, name: Class): Promise<number | undefined> {
  const body = JSON.stringify({
    model: 'facebook/opt-350m',
    messages: [{ role: 'user', content: 'hi' }],
    max_tokens: answerTokens,
    stream: true,
  })
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${keyOf(name)}` }
  const started = performance.now()
  const target = { agent, port, host: '127.0.0.1', path: '/v1/chat/completions', method: 'POST', headers }
  return new Promise((resolve) => {
    const sent = request(target, (response) => {
      let first: number | undefined
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        if (first === undefined && /"content":"[^"]/.test(text)) first = performance.now() - started
      })
      response.on('end', () => resolve(text.includes('[DONE]') ? first : undefined))
      response.on('error', () => resolve(undefined))
    })
    sent.on('error', () => resolve(undefined))
    sent.end(body)
  })
}

/** Clients that each send one request after the other until they are told to stop. */
function clients(port: number, name: Class, count: number): { stop(): Promise<(number | undefined)[]> } {
  let stopped = false
  const times: (number | undefined)[] = []
  const client = async (): Promise<void> => {
    while (!stopped) times.push(await ask(port, name))
  }
  const all = Promise.all(Array.from({ length: count }, client))
  const stop = async () => {
    stopped = true
    await all
    return times
  }
  return { stop }
}

interface Plan {
  readonly directory: string
  readonly runtime: Runtime
  readonly processes: string
  readonly turns: number
  readonly seconds: number
}

async function start(plan: Plan, slots: number, all: BackgroundProcess[]): Promise<number> {
  const { directory, runtime } = plan
  const [worker, port, operations] = [await freePort(), await freePort(), await freePort()]
  const common = { directory, cwd: repository }
  all.push(
    await startProcess({
      ...{ ...common, command: runtimeBinary('node'), name: `worker-${runtime}-${slots}` },
      args: [join(repository, 'sim/main.ts'), '--port', String(worker), ...engine],
      readyUrl: `http://127.0.0.1:${worker}/health`,
    }),
  )
  const keysFile = join(directory, 'keys.yaml')
  const entries = classes.map(
    (name) => `- { name: ${name}, hash: "sha256:${hash('sha256', keyOf(name))}", priority: ${name} }`,
  )
  writeFileSync(keysFile, `${entries.join('\n')}\n`)
  const flags = ['--port', port, '--prometheus-port', operations, '--processes', plan.processes].map(String)
  const limits = ['--max-concurrent-requests', cap, '--slots-for-high-priority', slots].map(String)
  all.push(
    await startProcess({
      ...{ ...common, command: runtimeBinary(runtime), name: `router-${runtime}-${slots}` },
      args: [
        ...[
          join(repository, 'app/main.ts'),
          ...flags,
          ...limits,
          '--queue-size',
          '500',
          '--log-level',
          'warn',
        ],
        ...['--keys-file', keysFile, '--worker-urls', `http://127.0.0.1:${worker}`],
      ],
      readyUrl: `http://127.0.0.1:${port}/health`,
    }),
  )
  return port
}

const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000))

async function run(plan: Plan, slots: number): Promise<string> {
  const all: BackgroundProcess[] = []
  try {
    const port = await start(plan, slots, all)
    const times = { quiet: [] as number[], burst: [] as number[] }
    let lost = 0
    let low = 0
    // The first turn is not counted: code is compiled there.
    for (let turn = 0; turn <= plan.turns; turn++) {
      for (const phase of ['quiet', 'burst'] as const) {
        const burst = clients(port, 'low', phase === 'burst' ? lowClients : 0)
        // All slots that the low class can get are taken before the high class comes.
        await pause(0.5)
        const high = clients(port, 'high', highClients)
        await pause(plan.seconds)
        const [highTimes, lowTimes] = await Promise.all([high.stop(), burst.stop()])
        const whole = highTimes.filter((time) => time !== undefined)
        lost += highTimes.length - whole.length + lowTimes.filter((time) => time === undefined).length
        if (turn === 0) continue
        times[phase].push(...whole)
        low += lowTimes.length
      }
    }
    return lineOf(slots, times, low, lost)
  } finally {
    await Promise.all(all.map((one) => one.stop()))
  }
}

function lineOf(
  slots: number,
  times: Readonly<Record<'quiet' | 'burst', number[]>>,
  low: number,
  lost: number,
): string {
  const figures = (of: readonly number[]) => {
    const sorted = of.toSorted((a, b) => a - b)
    const at = (share: number) => sorted[Math.floor(sorted.length * share)]!
    return [at(0.5), at(0.9), at(0.99), of.reduce((sum, time) => sum + time, 0) / of.length]
  }
  const [quiet, burst] = [figures(times.quiet), figures(times.burst)]
  const cells = ['p50', 'p90', 'p99', 'mean'].map((name, at) => {
    const more = (burst[at]! / quiet[at]! - 1) * 100
    return `${name} ${quiet[at]!.toFixed(1)} -> ${burst[at]!.toFixed(1)} ms (${more >= 0 ? '+' : ''}${more.toFixed(1)}%)`
  })
  const counts = `${times.quiet.length} and ${times.burst.length} high, ${low} low, ${lost} failed`
  return `  ${slots} of ${cap} kept: ${cells.join(', ')}; ${counts}`
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      turns: { type: 'string', default: '10' },
      seconds: { type: 'string', default: '3' },
      processes: { type: 'string', default: '1' },
      runtime: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(usage)
  const runtimes = (['node', 'bun'] as const).filter((name) => name === (values.runtime ?? name))
  if (runtimes.length === 0) throw new Error('--runtime is node or bun')
  const directory = mkdtempSync(join(tmpdir(), 'vllm-router-classes-'))
  const { processes } = values
  try {
    for (const runtime of runtimes) {
      process.stdout.write(
        `${runtime}: first token of the high class, quiet -> beside a burst of the low class\n`,
      )
      const plan = {
        directory,
        runtime,
        processes,
        turns: Number(values.turns),
        seconds: Number(values.seconds),
      }
      for (const slots of [0, kept]) process.stdout.write(`${await run(plan, slots)}\n`)
    }
  } finally {
    agent.destroy()
    rmSync(directory, { recursive: true, force: true })
  }
}

await main()
