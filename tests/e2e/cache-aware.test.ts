/** `cache_aware` through whole routers: the same worker through either of two, and metrics that say why. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createGateway } from '../../app/index.ts'
import { eventually, within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'

const timeout = 60_000

const words = (count: number, from: number): string =>
  Array.from({ length: count }, (_, at) => `word${((at + from * 131) * 7919) % 9973}`).join(' ')

const metrics = `# HELP vllm:num_requests_running Running.
vllm:num_requests_running{engine="0"} 0
vllm:num_requests_waiting{engine="0"} 0
vllm:prefix_cache_queries_total{engine="0"} 100
vllm:prefix_cache_hits_total{engine="0"} 10
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="8192"} 1.0
`

async function twoRouters(t: Scope, options: object = {}) {
  const workers = await Promise.all(
    Array.from({ length: 4 }, () => startScriptedWorker(undefined, { t, metrics: () => metrics })),
  )
  const start = async () => {
    const gateway = await createGateway({
      ...{ port: 0, prometheusPort: 0, workerUrls: workers.map(({ url }) => url), policy: 'cache_aware' },
      ...options,
    })
    t.after(() => gateway.close())
    const { api, operations } = await gateway.start()
    const port = Number(new URL(api).port)
    const ask = async (json: object, path = '/v1/chat/completions', headers: [string, string][] = []) => {
      const exchange = rawRequest({ port, path, json: { model: 'test-model', ...json }, headers })
      const { status, headers: answered } = await within(10_000, exchange.head, 'a head')
      await within(10_000, exchange.text(), 'an answer')
      assert.equal(status, 200)
      return answered.find(([name]) => name.toLowerCase() === 'x-router-worker')?.[1]
    }
    const text = async () =>
      (await rawRequest({ port: Number(new URL(operations).port), path: '/metrics' }).text()).text
    return { ask, text, gateway }
  }
  return { workers, one: await start(), other: await start() }
}

describe('two routers side by side', () => {
  test('send a conversation to the same worker through either', { timeout }, async (t) => {
    const { one, other } = await twoRouters(t)
    let same = 0
    const conversations = 60
    for (let at = 0; at < conversations; at++) {
      const messages = [{ role: 'user', content: words(120, at) }]
      const first = await (at % 2 === 0 ? one : other).ask({ messages })
      messages.push(
        { role: 'assistant', content: words(60, at + 500) },
        { role: 'user', content: 'and then?' },
      )
      const second = await (at % 2 === 0 ? other : one).ask({ messages, stream: true })
      if (first === second) same += 1
    }
    assert.ok(same >= 0.95 * conversations, `${same} of ${conversations}`)
  })

  test('send a session to the same worker, whatever it asks', { timeout }, async (t) => {
    const { one, other } = await twoRouters(t)
    let same = 0
    for (let session = 0; session < 40; session++) {
      const headers: [string, string][] = [['x-session-id', `s-${session}`]]
      const ask = (router: typeof one, from: number) =>
        router.ask(
          { messages: [{ role: 'user', content: words(100, from) }] },
          '/v1/chat/completions',
          headers,
        )
      if ((await ask(one, session)) === (await ask(other, session + 900))) same += 1
    }
    assert.ok(same >= 38, `${same} of 40`)
  })
})

describe('a router that chooses by caches', () => {
  test('says what it expected, and why it chose', { timeout }, async (t) => {
    const { one } = await twoRouters(t)
    const messages = [{ role: 'user', content: words(400, 7) }]
    for (let turn = 0; turn < 5; turn++) {
      await one.ask({ messages })
      messages.push({ role: 'assistant', content: 'yes' }, { role: 'user', content: words(20, turn) })
    }
    const text = await one.text()
    assert.match(text, /cache_hits_total 4$/m)
    assert.match(text, /cache_misses_total 1$/m)
    // Nobody else asks, so that the beginning becomes everybody's: from then on it is the index that knows.
    const decisions = [...text.matchAll(/policy_decisions_total\{[^}]*reason="(\w+)"[^}]*\} (\d+)/g)]
    assert.ok(
      decisions.every(([, reason]) => reason === 'affinity' || reason === 'index'),
      String(decisions),
    )
    assert.equal(
      decisions.reduce((sum, [, , count]) => sum + Number(count), 0),
      5,
    )
    assert.match(text, /expected_cached_share_count 5/)
  })

  test('serves what has no prompt that it knows: short ones, embeddings, other routes', {
    timeout,
  }, async (t) => {
    const { one, workers } = await twoRouters(t)
    for (let request = 0; request < 8; request++) {
      await one.ask({ messages: [{ role: 'user', content: 'hi' }] })
      await one.ask({ input: words(200, request) }, '/v1/embeddings')
      await one.ask({ prompt: [1, 2, 3] }, '/v1/completions')
    }
    const counts = workers.map(({ requests }) => requests.length)
    assert.ok(Math.min(...counts) > 0, String(counts))
  })

  test('keeps a worker’s engine in view', { timeout }, async (t) => {
    const { one, workers } = await twoRouters(t, { healthCheckIntervalSecs: 0.1 })
    await one.ask({ messages: [{ role: 'user', content: 'hi' }] })
    const reads = () => workers[0]!.probes.filter(({ path }) => path === '/metrics').length
    const before = reads()
    await eventually(() => reads() > before + 1, { what: 'its metrics are read with each probe' })
    const [state] = await one.gateway.control.workers()
    assert.equal(state?.load?.running, 0)
  })
})
