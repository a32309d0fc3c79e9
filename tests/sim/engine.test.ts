/** The simulated engine: pace, concurrency, queue, aborts, backpressure, idle connections, metrics. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startFleet } from '../../sim/fleet.ts'
import { type SimulatedVllm, startSimulatedVllm } from '../../sim/server.ts'
import { eventually, within } from '../support/deadline.ts'
import { metricValue, parseMetrics } from '../support/metrics.ts'
import { openConnection, rawRequest } from '../support/raw-client.ts'
import type { Scope } from '../support/scope.ts'

const path = '/v1/chat/completions'
const messages = [{ role: 'user', content: 'hi' }]
const endless = { messages, max_tokens: 1_000_000, stream: true }

async function sim(t: Scope, options: Parameters<typeof startSimulatedVllm>[0] = {}): Promise<SimulatedVllm> {
  const server = await startSimulatedVllm(options)
  t.after(() => server.close())
  return server
}

function idle(server: SimulatedVllm): Promise<boolean> {
  return eventually(() => server.stats().running === 0 && server.stats().waiting === 0, { what: 'idle' })
}

async function metrics({ port }: SimulatedVllm) {
  const { text } = await within(5000, rawRequest({ port, path: '/metrics' }).text(), 'the metrics')
  return parseMetrics(text)
}

describe('pace', () => {
  test('the first token comes after ttftMs and each further one after tokenMs', async (t) => {
    const { port } = await sim(t, { ttftMs: 60, tokenMs: 20 })
    const exchange = rawRequest({ port, path, json: { messages, max_tokens: 5, stream: true } })
    await within(5000, exchange.head, 'the head')
    assert.equal(exchange.events.length, 0, 'the head comes before prefill')
    await within(5000, exchange.body, 'the end')
    const times = exchange.events.map(({ at }) => at - exchange.sentAt)
    assert.ok((times[1] ?? 0) >= 59, `first token after ${times[1]} ms`)
    assert.ok((times[5] ?? 0) >= 59 + 4 * 20, `last token after ${times[5]} ms`)
  })

  test('the head waits for the first token when headersBeforePrefill is off', async (t) => {
    const { port } = await sim(t, { ttftMs: 60, headersBeforePrefill: false })
    const exchange = rawRequest({ port, path, json: { messages, stream: true } })
    await within(5000, exchange.head, 'the head')
    assert.ok(performance.now() - exchange.sentAt >= 59)
  })

  test('a plain answer takes the time of all its tokens, an embedding that of the first', async (t) => {
    const { port } = await sim(t, { ttftMs: 30, tokenMs: 10 })
    for (const [where, json, least] of [
      [path, { messages, max_tokens: 6 }, 80],
      ['/v1/embeddings', { input: 'a' }, 30],
    ] as const) {
      const exchange = rawRequest({ port, path: where, json })
      await within(5000, exchange.text(), 'the answer')
      const took = (exchange.endedAt ?? 0) - exchange.sentAt
      assert.ok(took >= least - 1, `${where} took ${took} ms`)
    }
  })

  test('prefill is shorter by what the prefix cache holds', async (t) => {
    const { port } = await sim(t, { prefillTokenMs: 5 })
    const took = async () => {
      const exchange = rawRequest({ port, path: '/v1/completions', json: { prompt: 'x'.repeat(256) } })
      await within(5000, exchange.text(), 'the answer')
      return (exchange.endedAt ?? 0) - exchange.sentAt
    }
    assert.ok((await took()) >= 319)
    assert.ok((await took()) < 319)
  })
})

describe('the queue', () => {
  test('runs maxConcurrent at a time, first come first served', async (t) => {
    // The first runs for 0.3 s: long enough for all to have arrived.
    const server = await sim(t, { maxConcurrent: 1, tokenMs: 30, recordRequests: true })
    const ids = ['a', 'b', 'c', 'd']
    const exchanges = []
    for (const [index, id] of ids.entries()) {
      const headers = { 'x-request-id': id }
      exchanges.push(rawRequest({ port: server.port, path, headers, json: { messages, max_tokens: 10 } }))
      await eventually(() => server.stats().received === index + 1, { what: `${id} arrived` })
    }
    assert.deepEqual([server.stats().running, server.stats().waiting], [1, 3])
    await within(5000, Promise.all(exchanges.map((exchange) => exchange.text())), 'all answers')
    assert.deepEqual(server.stats().completedIds, ids)
    assert.equal(server.stats().generatedTokens, 40)
  })

  test('turns requests away with 503 when it is full', async (t) => {
    const server = await sim(t, { maxConcurrent: 1, maxQueued: 1, ttftMs: 60_000 })
    const held = [1, 2].map(() => rawRequest({ port: server.port, path, json: endless }))
    await eventually(() => server.stats().waiting === 1, { what: 'one runs, one waits' })
    const { status, text } = await within(
      5000,
      rawRequest({ port: server.port, path, json: endless }).text(),
      '503',
    )
    assert.deepEqual([status, JSON.parse(text).error.code], [503, 503])
    assert.equal(server.stats().rejected, 1)
    for (const exchange of held) exchange.abort()
    await idle(server)
  })
})

describe('a client that leaves', () => {
  for (const reset of [false, true]) {
    test(`in prefill, in the queue or in the stream frees its place (${reset ? 'RST' : 'FIN'})`, async (t) => {
      const server = await sim(t, { maxConcurrent: 2, ttftMs: 20, tokenMs: 5 })
      const slow = await sim(t, { maxConcurrent: 1, ttftMs: 60_000 })
      const streams = [1, 2].map(() => rawRequest({ port: server.port, path, json: endless }))
      await within(5000, Promise.all(streams.map((one) => one.firstEvents(3))), 'tokens')
      const queued = rawRequest({ port: server.port, path, json: { ...endless, stream: false } })
      const prefilling = rawRequest({ port: slow.port, path, json: endless })
      await within(5000, prefilling.head, 'the head')
      await eventually(() => server.stats().waiting === 1, { what: 'one waits' })
      for (const exchange of [...streams, queued, prefilling]) exchange.abort({ reset })
      await idle(server)
      await idle(slow)
      const { received, aborted, completed, generatedTokens } = server.stats()
      assert.deepEqual([received, aborted, completed], [3, 3, 0])
      assert.equal(slow.stats().aborted, 1)
      const { status } = await rawRequest({
        port: server.port,
        path,
        json: { messages, max_tokens: 1 },
      }).text()
      assert.equal(status, 200)
      assert.equal(server.stats().generatedTokens, generatedTokens + 1)
    })
  }

  test('while it still sends its body is not counted as received', async (t) => {
    const server = await sim(t)
    const connection = openConnection({ port: server.port })
    connection.request({ method: 'POST', path, headers: { 'content-length': '100' }, body: '{"half":' })
    await connection.opened
    connection.abort({ reset: true })
    const { status } = await rawRequest({ port: server.port, path, json: { messages } }).text()
    assert.equal(status, 200)
    assert.equal(server.stats().received, 1)
  })
})

test('a reader that stops reading stops the generation, and it goes on when it reads again', async (t) => {
  const server = await sim(t)
  const exchange = rawRequest({ port: server.port, path, json: { ...endless, max_tokens: 200_000 } })
  await within(5000, exchange.firstEvents(1), 'the first event')
  exchange.pauseReading()
  let before = -1
  // Socket buffers fill first; then the count stands still for several looks in a row.
  let still = 0
  await eventually(
    () => {
      const { generatedTokens } = server.stats()
      still = generatedTokens === before ? still + 1 : 0
      before = generatedTokens
      return still >= 5
    },
    { what: 'the generation stands still', everyMs: 20, withinMs: 10_000 },
  )
  assert.ok(before < 200_000, `${before} tokens were generated`)
  assert.equal(server.stats().running, 1)
  exchange.resume()
  const { complete } = await within(20_000, exchange.body, 'the end')
  assert.ok(complete)
  assert.equal(exchange.events.length, 1 + 200_000 + 1)
  assert.equal(server.stats().completed, 1)
})

describe('idle connections', () => {
  test('are kept for further requests and closed after keepAliveTimeoutMs', async (t) => {
    const { port } = await sim(t, { keepAliveTimeoutMs: 150 })
    const connection = openConnection({ port })
    for (const json of [{ messages }, { messages, stream: true }, { messages }]) {
      await within(5000, connection.request({ path, json }).text(), 'an answer')
    }
    const answered = performance.now()
    const { how, at } = await within(5000, connection.closed, 'the close')
    assert.equal(how, 'fin')
    assert.ok(at - answered >= 140, `closed after ${at - answered} ms`)
  })

  test('are closed after the answer when the client asks for it', async (t) => {
    const { port } = await sim(t)
    const connection = openConnection({ port })
    const exchange = connection.request({ path, json: { messages }, headers: { connection: 'close' } })
    assert.equal((await within(5000, exchange.head, 'the head')).header('connection'), 'close')
    await within(1000, connection.closed, 'the close')
  })

  test('are not closed while a stream is quiet for longer than that', async (t) => {
    const { port } = await sim(t, { keepAliveTimeoutMs: 50, ttftMs: 200 })
    const { complete } = await within(
      5000,
      rawRequest({ port, path, json: { messages, stream: true } }).body,
      'end',
    )
    assert.ok(complete)
  })
})

test('metrics have the names of vLLM and true values', async (t) => {
  const server = await sim(t, { tokenMs: 2, maxConcurrent: 1 })
  const prompt = 'p'.repeat(640)
  for (let i = 0; i < 2; i++) {
    await rawRequest({ port: server.port, path: '/v1/completions', json: { prompt, max_tokens: 3 } }).text()
  }
  const held = [1, 2].map(() => rawRequest({ port: server.port, path, json: endless }))
  await eventually(() => server.stats().waiting === 1, { what: 'one runs, one waits' })
  const during = await metrics(server)
  assert.equal(
    metricValue(during, 'vllm:num_requests_running', { engine: 0, model_name: server.models[0] ?? '' }),
    1,
  )
  assert.equal(metricValue(during, 'vllm:num_requests_waiting'), 1)
  assert.ok((metricValue(during, 'vllm:kv_cache_usage_perc') ?? 0) > 0)
  for (const exchange of held) exchange.abort()
  await idle(server)
  const after = await metrics(server)
  const value = (name: string) => metricValue(after, `vllm:${name}`)
  assert.equal(value('num_requests_running'), 0)
  assert.equal(value('generation_tokens_total'), server.stats().generatedTokens)
  assert.equal(value('prompt_tokens_total'), value('prefix_cache_queries_total'))
  assert.equal(value('prefix_cache_hits_total'), 144)
  assert.ok((value('iteration_tokens_total_count') ?? 0) >= 6)
  assert.equal(metricValue(after, 'vllm:cache_config_info', { block_size: 16, num_gpu_blocks: 8192 }), 1)
  assert.ok((value('lora_requests_info') ?? 0) > 0)
})

test('a thousand streams at once come to their end', async (t) => {
  const server = await sim(t, { ttftMs: 20, tokenMs: 20, jitter: 0.5 })
  const json = { messages, max_tokens: 5, stream: true }
  const all = Array.from({ length: 1000 }, () => rawRequest({ port: server.port, path, json }))
  const bodies = await within(20_000, Promise.all(all.map((exchange) => exchange.body)), 'all ends')
  assert.ok(bodies.every(({ complete }) => complete))
  assert.ok(all.every(({ events }) => events.length === 7))
  const { completed, generatedTokens, running } = server.stats()
  assert.deepEqual([completed, generatedTokens, running], [1000, 5000, 0])
})

describe('a fleet', () => {
  test('has servers of its own ids and ports, and none is left when it is closed', async () => {
    const fleet = await startFleet({ size: 3, model: 'm' })
    assert.equal(new Set(fleet.urls).size, 3)
    for (const [index, { port }] of fleet.workers.entries()) {
      const { header } = await within(5000, rawRequest({ port, path: '/health' }).head, 'the health')
      assert.equal(header('x-worker-id'), `worker-${index + 1}`)
    }
    const held = rawRequest({ port: fleet.workers[0]?.port ?? 0, path: '/health' })
    await held.body
    await fleet.close()
    const refused = rawRequest({ port: fleet.workers[1]?.port ?? 0 })
    await assert.rejects(within(5000, refused.connection.opened, 'an end'))
  })

  test('passes over ports that are taken', async (t) => {
    const taken = await sim(t)
    const fleet = await startFleet({ size: 2, port: taken.port })
    t.after(() => fleet.close())
    assert.ok(fleet.workers.every(({ port }) => port > taken.port))
  })
})
