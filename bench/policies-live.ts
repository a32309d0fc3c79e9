/**
 * `npm run bench:policies-live`: routers in front of simulated vLLM servers, policy by policy. What `bench:policies` says
 * of the policies' code, this says of the whole way: HTTP, hashing of real bodies, probes, metrics of the workers.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type BackgroundProcess, startProcess } from './background-process.ts'
import { freePort } from './free-port.ts'
import { seededRandom } from './policies/random.ts'
import { type Runtime, repository, runtimeBinary } from './runtime-binary.ts'

const usage = `node bench/policies-live.ts [flags]
  --policy A,B      default round_robin,least_inflight,cache_aware
  --work A,B        groups, unique, hot; default groups,unique
  --routers N       routers that do not know of each other; default 1
  --workers N       default 8
  --rate N          requests a second; default 14
  --seconds N       of each policy; the first quarter is not counted; default 40
  --runtime NAME    bun or node; default node
`

/** A worker computes a prompt token in 0.1 ms and serves two requests at a time; its cache holds 131,072 tokens. */
const engine = [
  '--prefill-token-ms',
  '0.1',
  '--token-ms',
  '2',
  '--max-concurrent',
  '2',
  '--max-queued',
  '1000',
]
const blockTokens = 512
const answerTokens = 8

/** Text of one block, some four characters a token. */
function blockText(name: number): string {
  const random = seededRandom(name)
  let text = ''
  while (text.length < blockTokens * 4) text += `${Math.floor(random() * 1e9).toString(36)} `
  return text.slice(0, blockTokens * 4)
}

type Workload = (random: () => number) => string

let fresh = 1e6
const blocks = (first: number, count: number): string =>
  Array.from({ length: count }, (_, at) => blockText(first + at)).join('')
const own = (count: number): string => {
  fresh += 1000
  return blocks(fresh, count)
}

const groupTexts = new Map<number, string>()
const shared = (group: number, count: number): string => {
  const known = groupTexts.get(group) ?? blocks(2e8 + 100 * group, count)
  groupTexts.set(group, known)
  return known
}

const workloads: Readonly<Record<string, Workload>> = {
  groups: (random) => shared(Math.floor(random() * 150), 12) + own(2),
  unique: () => own(6),
  hot: (random) => (random() < 0.3 ? shared(1000, 12) + own(2) : own(6)),
}

interface Answer {
  readonly firstTokenMs: number
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly worker: string
}

function ask(port: number, prompt: string): Promise<Answer | undefined> {
  const body = JSON.stringify({
    model: 'facebook/opt-350m',
    messages: [{ role: 'user', content: prompt }],
    max_tokens: answerTokens,
    stream: true,
    stream_options: { include_usage: true },
  })
  const started = performance.now()
  return new Promise((resolve) => {
    const sent = request(
      {
        port,
        host: '127.0.0.1',
        path: '/v1/chat/completions',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
      },
      (response) => {
        let firstTokenMs = 0
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
          if (firstTokenMs === 0 && text.includes('"content":"') && /"content":"[^"]/.test(text))
            firstTokenMs = performance.now() - started
        })
        response.on('end', () => {
          const prompt = Number(/"prompt_tokens":(\d+)/.exec(text)?.[1])
          const cached = Number(/"cached_tokens":(\d+)/.exec(text)?.[1] ?? 0)
          const whole = response.statusCode === 200 && text.includes('[DONE]')
          const worker = String(response.headers['x-router-worker'])
          resolve(whole ? { firstTokenMs, promptTokens: prompt, cachedTokens: cached, worker } : undefined)
        })
        response.on('error', () => resolve(undefined))
      },
    )
    sent.on('error', () => resolve(undefined))
    sent.end(body)
  })
}

interface Plan {
  readonly directory: string
  readonly runtime: Runtime
  readonly workers: number
  readonly routers: number
  readonly rate: number
  readonly seconds: number
}

async function startWorkers({ directory, workers }: Plan, all: BackgroundProcess[]): Promise<string[]> {
  const urls: string[] = []
  for (let worker = 0; worker < workers; worker++) {
    const port = await freePort()
    all.push(
      await startProcess({
        command: runtimeBinary('node'),
        args: [join(repository, 'sim/main.ts'), '--port', String(port), ...engine],
        directory,
        name: `worker-${worker}`,
        cwd: repository,
        readyUrl: `http://127.0.0.1:${port}/health`,
      }),
    )
    urls.push(`http://127.0.0.1:${port}`)
  }
  return urls
}

async function startRouters(
  plan: Plan,
  policy: string,
  urls: string[],
  all: BackgroundProcess[],
): Promise<number[]> {
  const ports: number[] = []
  for (let index = 0; index < plan.routers; index++) {
    const [port, operations] = [await freePort(), await freePort()]
    const listen = ['--port', String(port), '--prometheus-port', String(operations)]
    const flags = ['--policy', policy, '--log-level', 'warn', '--health-check-interval-secs', '1']
    all.push(
      await startProcess({
        command: runtimeBinary(plan.runtime),
        args: [join(repository, 'app/main.ts'), ...listen, ...flags, '--worker-urls', ...urls],
        directory: plan.directory,
        name: `router-${policy}-${index}`,
        cwd: repository,
        readyUrl: `http://127.0.0.1:${port}/health`,
      }),
    )
    ports.push(port)
  }
  return ports
}

async function run(plan: Plan, policy: string, work: string): Promise<string> {
  const all: BackgroundProcess[] = []
  const random = seededRandom(11)
  const make = workloads[work]
  if (make === undefined) throw new Error(`--work is one of ${Object.keys(workloads).join(', ')}`)
  try {
    const urls = await startWorkers(plan, all)
    const ports = await startRouters(plan, policy, urls, all)
    const answers: (Promise<Answer | undefined> | undefined)[] = []
    const end = performance.now() + plan.seconds * 1000
    const counted = performance.now() + plan.seconds * 250
    let at = performance.now()
    while (at < end) {
      at += (-Math.log(1 - random()) * 1000) / plan.rate
      const pause = at - performance.now()
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause))
      const answer = ask(ports[Math.floor(random() * ports.length)]!, make(random))
      if (at >= counted) answers.push(answer)
    }
    return lineOf(policy, plan, await Promise.all(answers))
  } finally {
    await Promise.all(all.map((one) => one.stop()))
  }
}

function lineOf(policy: string, { workers }: Plan, all: readonly (Answer | undefined)[]): string {
  const answers = all.filter((answer) => answer !== undefined)
  const times = answers.map(({ firstTokenMs }) => firstTokenMs).toSorted((a, b) => a - b)
  const at = (share: number) =>
    (times[Math.min(times.length - 1, Math.floor(times.length * share))]! / 1000).toFixed(2)
  const sum = (of: (answer: Answer) => number) => answers.reduce((total, answer) => total + of(answer), 0)
  const hits = (100 * sum(({ cachedTokens }) => cachedTokens)) / sum(({ promptTokens }) => promptTokens)
  const counts = [...Map.groupBy(answers, ({ worker }) => worker).values()].map((one) => one.length)
  const imbalance = (Math.max(...counts) * workers) / answers.length
  const lost = all.length - answers.length
  return `  ${policy.padEnd(20)} ${hits.toFixed(1).padStart(5)}% found cached, first token p50 ${at(0.5)} p90 ${at(0.9)} p99 ${at(0.99)} s, imbalance ${imbalance.toFixed(2)}, ${answers.length} requests, ${lost} failed`
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      policy: { type: 'string', default: 'round_robin,least_inflight,cache_aware' },
      work: { type: 'string', default: 'groups,unique' },
      routers: { type: 'string', default: '1' },
      workers: { type: 'string', default: '8' },
      rate: { type: 'string', default: '14' },
      seconds: { type: 'string', default: '40' },
      runtime: { type: 'string', default: 'node' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(usage)
  const directory = mkdtempSync(join(tmpdir(), 'vllm-router-policies-'))
  try {
    const plan: Plan = {
      directory,
      runtime: values.runtime === 'bun' ? 'bun' : 'node',
      workers: Number(values.workers),
      routers: Number(values.routers),
      rate: Number(values.rate),
      seconds: Number(values.seconds),
    }
    for (const work of values.work.split(',')) {
      process.stdout.write(`${work}, ${plan.routers} routers, ${plan.rate} requests a second\n`)
      for (const policy of values.policy.split(','))
        process.stdout.write(`${await run(plan, policy, work)}\n`)
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

await main()
