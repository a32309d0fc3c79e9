/** The commands of the deployment guide, against a router that was started with `--demo`. */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { type Metrics, parseMetrics, samplesOf } from '../support/metrics.ts'
import { rawRequest } from '../support/raw-client.ts'
import { untilAvailable } from '../support/router-over.ts'
import { startRouter } from '../support/router-process.ts'
import { shared } from '../support/shared.ts'

const timeout = 30_000
/** What `curl` sends besides the method and the host. */
const curl = { accept: '*/*', 'user-agent': 'curl/8.14.1' }

const demo = shared(async (t) => {
  const router = await startRouter({ t, args: ['--demo'] })
  await untilAvailable(router, 7)
  return router
})

async function completion(prompt = 'Test'): Promise<{ status: number; text: string }> {
  const { apiPort } = await demo()
  // As in the guide: with blanks between the fields.
  const body = `{"model": "facebook/opt-350m", "prompt": ${JSON.stringify(prompt)}, "max_tokens": 10}`
  const headers = { ...curl, 'content-type': 'application/json' }
  return rawRequest({ port: apiPort, method: 'POST', path: '/v1/completions', headers, body }).text()
}

async function scrape(): Promise<{ text: string; type: string | undefined; metrics: Metrics }> {
  const { operationsPort } = await demo()
  const exchange = rawRequest({ port: operationsPort, path: '/metrics', headers: curl })
  const { status, text } = await exchange.text()
  assert.equal(status, 200)
  return { text, type: (await exchange.head).header('content-type'), metrics: parseMetrics(text) }
}

describe('the deployment guide', () => {
  test('GET /health says that all servers are healthy', { timeout }, async () => {
    const { apiPort, operationsPort } = await demo()
    for (const port of [apiPort, operationsPort]) {
      const answer = await rawRequest({ port, path: '/health', headers: curl }).text()
      assert.deepEqual(answer, { status: 200, text: 'All servers healthy' })
    }
  })

  test('the completion is answered by a worker that says it is simulated', { timeout }, async () => {
    const { apiPort } = await demo()
    const { status, text } = await completion()
    assert.equal(status, 200)
    const body = JSON.parse(text)
    assert.equal(body.object, 'text_completion')
    assert.equal(body.model, 'facebook/opt-350m')
    assert.equal(body.choices[0].finish_reason, 'length')
    assert.ok(body.choices[0].text.length > 10)
    assert.equal(body.usage.completion_tokens, 10)
    const json = { model: 'facebook/opt-350m', prompt: 'Test', max_tokens: 1 }
    const head = await rawRequest({ port: apiPort, path: '/v1/completions', json }).head
    assert.equal(head.header('x-simulated'), 'vllm')
    assert.match(head.header('x-worker-id') ?? '', /^worker-[1-7]$/)
  })

  test('seven requests reach seven workers', { timeout }, async () => {
    const { apiPort } = await demo()
    const seen = new Set<string | undefined>()
    for (let request = 0; request < 7; request++) {
      const json = { model: 'facebook/opt-350m', prompt: 'Test', max_tokens: 1 }
      seen.add(
        (await rawRequest({ port: apiPort, path: '/v1/completions', json }).head).header('x-worker-id'),
      )
    }
    assert.equal(seen.size, 7)
  })
})

describe('GET /metrics', () => {
  const perWorker = ['processed_requests_total', 'running_requests', 'cb_state']

  test('has every name that dashboards of the Rust router use', { timeout }, async () => {
    await completion()
    const { metrics } = await scrape()
    for (const name of perWorker) assert.equal(samplesOf(metrics, `vllm_router_${name}`).length, 7, name)
    assert.equal(samplesOf(metrics, 'vllm_router_cb_outcomes_total').length, 21)
    for (const name of [
      'active_workers',
      'cache_hits_total',
      'cache_misses_total',
      'generate_duration_seconds_sum',
      'generate_duration_seconds_count',
    ]) {
      assert.equal(samplesOf(metrics, `vllm_router_${name}`).length, 1, name)
    }
    const buckets = samplesOf(metrics, 'vllm_router_generate_duration_seconds_bucket')
    assert.equal(buckets.length, 23)
    assert.deepEqual([buckets[0]?.labels.le, buckets.at(-2)?.labels.le], ['0.001', '1800'])
  })

  test('has a value for each grep of the guide', { timeout }, async () => {
    const { text, metrics } = await scrape()
    for (const word of [
      'processed_requests',
      'cb_state',
      'running_requests',
      'active_workers',
      'duration_seconds',
    ]) {
      assert.ok(
        text.split('\n').some((line) => line.includes(word) && !line.startsWith('#')),
        word,
      )
    }
    assert.equal(samplesOf(metrics, 'vllm_router_active_workers')[0]?.value, 7)
    assert.ok(samplesOf(metrics, 'vllm_router_cb_state').every(({ value }) => value === 0))
  })

  test('is served with the content type of its format, and every family has help and type', {
    timeout,
  }, async () => {
    const { type, metrics } = await scrape()
    assert.equal(type, 'text/plain; version=0.0.4; charset=utf-8')
    for (const { name } of metrics.samples) {
      const family = metrics.types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '')
      assert.ok(metrics.types.has(family), `no TYPE for ${name}`)
      assert.ok((metrics.help.get(family) ?? '') !== '', `no HELP for ${name}`)
    }
  })

  const found = spawnSync('promtool', ['--version']).status === 0
  const skip = found ? false : 'promtool is not on PATH'
  test('passes `promtool check metrics`', { timeout, skip }, async () => {
    const { apiPort } = await demo()
    // Every family with samples in it, those of errors and of streams too.
    const json = { model: 'facebook/opt-350m', prompt: 'Test', max_tokens: 3, stream: true }
    assert.ok((await rawRequest({ port: apiPort, path: '/v1/completions', json }).body).complete)
    await rawRequest({
      port: apiPort,
      path: '/v1/completions',
      json: { model: 'no-such-model', prompt: '' },
    }).text()
    await rawRequest({ port: apiPort, path: '/v1/completions', json: [] }).text()
    const { text } = await scrape()
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input: text,
      encoding: 'utf8',
    })
    assert.equal(status, 0, `${stdout}${stderr}`)
    assert.equal(`${stdout}${stderr}`, '')
  })
})
