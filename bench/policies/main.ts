/** `npm run bench:policies`: the policies' own code in a fleet of simulated servers. See docs/selection.md. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { selectionPolicies } from '../../policies/selection/index.ts'
import type { SelectionPolicy } from '../../policies/selection/policy.ts'
import { chart } from './chart.ts'
import { peers } from './peers.ts'
import { scaled } from './scaled.ts'
import { type SimulationResult, simulate } from './simulation.ts'
import { type Workload, workloads } from './workloads.ts'

const usage = `node bench/policies/main.ts [flags]
  --trace FILE      a trace too: JSON lines with timestamp, hash_ids, input_length, output_length
  --work A,B        only these workloads
  --policy A,B      only these policies (part of a name)
  --load A,B        shares of what taking turns could just serve; default 0.85
  --routers A,B     routers that do not know of each other; default 1,2,8
  --count N         requests of a workload; default 6000
  --seed N          default 1
  --sessions        clients name their sessions
  --slow            one worker runs at half speed
  --out DIR         where the results go; default bench/results
`

const settings = {
  cacheThreshold: 0.3,
  balanceAbs: 64,
  balanceRel: 1.5,
  evictionMs: 120_000,
  maxTreeSize: 2 ** 26,
  sessionMs: 1_800_000,
}

type CreatePolicy = (context: {
  readonly random: () => number
  readonly now: () => number
}) => SelectionPolicy

export interface Row {
  readonly workload: string
  readonly load: number
  readonly policy: string
  readonly routers: number
  readonly result: SimulationResult
}

function policies(wanted: readonly string[]): [string, CreatePolicy][] {
  const own = Object.entries(selectionPolicies).map(
    ([name, create]) =>
      [name, (context: Parameters<CreatePolicy>[0]) => create({ ...context, settings })] as const,
  )
  const all: [string, CreatePolicy][] = [...own, ...Object.entries(peers)].map(([name, create]) => [
    name,
    create,
  ])
  return wanted.length === 0 ? all : all.filter(([name]) => wanted.some((part) => name.includes(part)))
}

const say = (line: string): boolean => process.stdout.write(`${line}\n`)
const listOf = (text: string): string[] => text.split(',').filter((part) => part !== '')

function main(): void {
  const { values } = parseArgs({
    options: {
      trace: { type: 'string' },
      work: { type: 'string', default: '' },
      policy: { type: 'string', default: '' },
      load: { type: 'string', default: '0.85' },
      routers: { type: 'string', default: '1,2,8' },
      count: { type: 'string', default: '6000' },
      seed: { type: 'string', default: '1' },
      sessions: { type: 'boolean', default: false },
      slow: { type: 'boolean', default: false },
      out: { type: 'string', default: fileURLToPath(new URL('../results', import.meta.url)) },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void say(usage)
  const wanted = listOf(values.work)
  const made = workloads({ trace: values.trace, count: Number(values.count) })
  const rows: Row[] = []
  for (const workload of made.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    for (const load of listOf(values.load).map(Number)) {
      rows.push(...runWorkload(workload, load, values))
    }
  }
  mkdirSync(values.out, { recursive: true })
  writeFileSync(join(values.out, 'policies.json'), JSON.stringify(rows, undefined, 1))
  writeFileSync(join(values.out, 'policies.svg'), chart(rows))
  say(`\nwritten: ${join(values.out, 'policies.json')}, policies.svg`)
}

interface RunValues {
  readonly policy: string
  readonly routers: string
  readonly seed: string
  readonly sessions: boolean
  readonly slow: boolean
}

function runWorkload({ name, requests, losesWorker }: Workload, load: number, values: RunValues): Row[] {
  const { requests: stretched, seconds } = scaled(requests, load)
  const outage = losesWorker === true ? { worker: 3, from: seconds / 2, to: (seconds * 5) / 8 } : undefined
  say(`\n${name}, load ${load}: tokens found cached, seconds to the first token p50 / p90 / p99, imbalance`)
  const rows: Row[] = []
  for (const [policy, createPolicy] of policies(listOf(values.policy))) {
    const cells: string[] = []
    for (const routers of listOf(values.routers).map(Number)) {
      const result = simulate({
        ...{ requests: stretched, createPolicy, routers, outage },
        ...{ seed: Number(values.seed), sessions: values.sessions, slow: values.slow ? 2 : undefined },
      })
      rows.push({ workload: name, load, policy, routers, result })
      const { hits, p50, p90, p99, imbalance } = result
      const times = `${p50.toFixed(2)} / ${p90.toFixed(2)} / ${p99.toFixed(1)}`
      cells.push(`${(100 * hits).toFixed(1).padStart(5)}%  ${times.padEnd(22)} ${imbalance.toFixed(2)}`)
    }
    say(`  ${policy.padEnd(40)} ${cells.join(' | ')}`)
  }
  return rows
}

main()
