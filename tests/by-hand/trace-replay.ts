/**
 * Replays a recorded trace of a chat service through a router with its demo fleet, by the official OpenAI client.
 * Run by hand, since traces are large and are no part of the project:
 *
 *   node tests/by-hand/trace-replay.ts TRACE [--requests 500] [--speed 20] [--policy round_robin] [--workers 7]
 *
 * TRACE is JSON lines, packed with gzip or not, each with `timestamp` (ms), `input_length`, `output_length` (tokens) and
 * `hash_ids` (one id for each 512 tokens of the prompt; equal ids are equal text). Ends with 1 when an answer is missing,
 * cut, or not of the length asked for.
 */

import assert from 'node:assert/strict'
import { parseArgs } from 'node:util'
import OpenAI from 'openai'
import { eventually, pause } from '../support/deadline.ts'
import { samplesOf } from '../support/metrics.ts'
import { untilAvailable } from '../support/router-over.ts'
import { type RouterProcess, startRouter } from '../support/router-process.ts'
import { promptOf, readTrace, type TraceRequest } from './trace.ts'

const model = 'facebook/opt-350m'

interface Replayed {
  readonly asked: TraceRequest
  readonly worker: string
  readonly attempts: number
  /** Milliseconds. */
  readonly firstTokenMs: number
  readonly totalMs: number
  readonly cachedTokens: number
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      requests: { type: 'string', default: '500' },
      speed: { type: 'string', default: '20' },
      policy: { type: 'string', default: 'round_robin' },
      workers: { type: 'string', default: '7' },
    },
  })
  const [file] = positionals
  if (file === undefined) throw new Error('which trace? node tests/by-hand/trace-replay.ts TRACE')
  // The client's fetch, not the router: on Bun it would hold back all but 256 requests.
  const limit = 'BUN_CONFIG_MAX_HTTP_REQUESTS'
  if (process.versions.bun !== undefined && process.env[limit] === undefined)
    throw new Error(`on Bun, start this with ${limit}=65535 in the environment`)
  const trace = await readTrace(file, Number(values.requests))
  const router = await startRouter({ args: ['--demo', values.workers, '--policy', values.policy] })
  try {
    await untilAvailable(router, Number(values.workers))
    const started = performance.now()
    const replayed = await replay(trace, router, Number(values.speed))
    const seconds = (performance.now() - started) / 1000
    await checkBooks(router, trace)
    print(replayed, seconds, values.policy)
  } finally {
    await router.kill()
  }
}

async function replay(
  trace: readonly TraceRequest[],
  router: RouterProcess,
  speed: number,
): Promise<Replayed[]> {
  const client = new OpenAI({
    baseURL: `${router.api}/v1`,
    apiKey: 'unused',
    maxRetries: 0,
    timeout: 600_000,
  })
  const first = trace[0]?.timestamp ?? 0
  const started = performance.now()
  return Promise.all(
    trace.map(async (asked) => {
      await pause(Math.max(0, (asked.timestamp - first) / speed - (performance.now() - started)))
      return ask(client, asked)
    }),
  )
}

/** One streamed chat, checked for its end, its number of chunks, and the usage that the worker reports. */
async function ask(client: OpenAI, asked: TraceRequest): Promise<Replayed> {
  const { input_length, output_length } = asked
  const sentAt = performance.now()
  const { data: stream, response } = await client.chat.completions
    .create({
      model,
      messages: [{ role: 'user', content: promptOf(asked) }],
      max_tokens: output_length,
      stream: true,
      stream_options: { include_usage: true },
    })
    .withResponse()
  let firstTokenMs = Number.NaN
  let chunks = 0
  let finish: string | null | undefined
  let usage: OpenAI.CompletionUsage | null | undefined
  for await (const { choices, usage: reported } of stream) {
    const [choice] = choices
    if (choice?.delta.content) {
      if (chunks === 0) firstTokenMs = performance.now() - sentAt
      chunks++
    }
    finish = choice?.finish_reason ?? finish
    usage = reported ?? usage
  }
  assert.deepEqual(
    [chunks, finish, usage?.completion_tokens, usage?.prompt_tokens],
    [output_length, 'length', output_length, input_length],
  )
  return {
    asked,
    worker: response.headers.get('x-worker-id') ?? '?',
    attempts: Number(response.headers.get('x-router-attempts')),
    firstTokenMs,
    totalMs: performance.now() - sentAt,
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
  }
}

/** The router's own books must say the same as the client saw. */
async function checkBooks(router: RouterProcess, trace: readonly TraceRequest[]): Promise<void> {
  await eventually(async () => (await router.metric('vllm_router_running_requests')) === 0, {
    what: 'no request in flight',
  })
  const metrics = await router.metrics()
  const value = (name: string, labels = {}): number =>
    samplesOf(metrics, `vllm_router_${name}`, labels).reduce((sum, sample) => sum + sample.value, 0)
  const total = (of: (request: TraceRequest) => number): number =>
    trace.reduce((sum, one) => sum + of(one), 0)
  const route = '/v1/chat/completions'
  assert.equal(value('requests_total', { route, status: 200 }), trace.length)
  assert.equal(value('streams_ended_total', { reason: 'completed' }), trace.length)
  assert.equal(
    value('tokens_total', { kind: 'prompt' }),
    total(({ input_length }) => input_length),
  )
  assert.equal(
    value('tokens_total', { kind: 'completion' }),
    total(({ output_length }) => output_length),
  )
}

function print(replayed: readonly Replayed[], seconds: number, policy: string): void {
  const sum = (of: (one: Replayed) => number): number => replayed.reduce((total, one) => total + of(one), 0)
  const prompt = sum(({ asked }) => asked.input_length)
  const output = sum(({ asked }) => asked.output_length)
  const perWorker = Map.groupBy(replayed, ({ worker }) => worker)
  const shares = [...perWorker]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, all]) => `${name} ${all.length}`)
  const times = (of: (one: Replayed) => number): string => {
    const sorted = replayed.map(of).sort((a, b) => a - b)
    const at = (share: number) => Math.round(sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN)
    return `p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`
  }
  const runtime =
    process.versions.bun === undefined ? `Node ${process.versions.node}` : `Bun ${process.versions.bun}`
  const lines = [
    `${replayed.length} requests on ${runtime} in ${seconds.toFixed(1)} s with ${policy}: all complete, usage as asked`,
    `prompt tokens    ${prompt} (${((sum(({ cachedTokens }) => cachedTokens) / prompt) * 100).toFixed(1)}% cached)`,
    `output tokens    ${output} (${Math.round(output / seconds)} a second)`,
    `first token      ${times(({ firstTokenMs }) => firstTokenMs)}`,
    `whole answer     ${times(({ totalMs }) => totalMs)}`,
    `more attempts    ${replayed.filter(({ attempts }) => attempts > 1).length} requests`,
    `requests         ${shares.join(', ')}`,
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

await main()
