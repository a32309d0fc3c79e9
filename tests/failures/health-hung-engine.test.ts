/** An engine that hangs while its HTTP server lives: /health says 200, requests go in, and nothing ever comes out. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Gateway } from '../../app/index.ts'
import { detectRuntime } from '../../app/runtime/detect.ts'
import { apiRequest } from '../support/api-bodies.ts'
import { AppClock, settled } from '../support/app-clock.ts'
import { type FakeAnswer, FakeClient } from '../support/fake-client.ts'
import { metricValue, parseMetrics } from '../support/metrics.ts'
import { well } from '../support/probing.ts'
import { testGateway } from '../support/test-gateway.ts'

const suspect = 'http://suspect:8000'
const other = 'http://other:8000'

/** Milliseconds: `--worker-stall-timeout-secs`, and how much later it may be noticed. */
const stallMs = 120_000
const noticedMs = 15_000
/** The one request in flight would be answered in the end. */
const answeredMs = 300_000

test('requests in flight and counters that stand still: it is given up after the stall time, and its request goes elsewhere', {
  timeout: 30_000,
}, async () => {
  const { gateway, worker, clock, inFlight, engine } = await routerOverSuspect(() => counters(7))
  engine.hangs = true
  await clock.pass(stallMs - 5000, 500)
  assert.equal(worker?.health.name, 'healthy')
  await clock.pass(5000 + noticedMs, 500)
  assert.deepEqual(worker?.health, {
    name: 'unhealthy',
    reason: 'requests make no progress',
    cause: 'stalled',
  })

  const moved = await inFlight
  assert.deepEqual([moved.status, moved.headers.get('x-router-attempts')], [200, '2'])
  assert.equal(await metricOf(gateway, 'running_requests'), 0)
  for (let index = 0; index < 10; index++)
    assert.equal((await post(gateway)).headers.get('x-router-attempts'), '1')
  await clock.pass(60_000, 500)
  assert.equal(worker?.health.name, 'unhealthy', 'as long as it does not write a token for the router itself')

  engine.hangs = false
  await clock.pass(20_000, 500)
  assert.equal(worker?.health.name, 'healthy')
  assert.equal(await metricOf(gateway, 'cb_outcomes_total', { outcome: 'failure' }), 0)
  await gateway.close()
})

for (const [what, metrics] of [
  ['counters that move now and then', (now: number) => counters(Math.floor(now / 100_000))],
  ['no counters among its metrics', () => '# TYPE process_open_fds gauge\nprocess_open_fds 7\n'],
  ['no metrics at all', () => undefined],
] as const) {
  test(`${what}: a worker with a request in flight is never taken for a hung one`, {
    timeout: 30_000,
  }, async () => {
    const { gateway, worker, clock, inFlight } = await routerOverSuspect(metrics)
    while (clock.now() < answeredMs) {
      await clock.pass(500)
      assert.equal(worker?.health.name, 'healthy')
    }
    await clock.pass(1000)
    assert.equal((await inFlight).status, 200)
    assert.equal(await metricOf(gateway, 'running_requests'), 0)
    await gateway.close()
  })
}

const counters = (count: number): string => `# HELP\nvllm:iteration_tokens_total_count{engine="0"} ${count}\n`

/** A router over two workers, of which the first has a request in flight; no network, time by hand. */
async function routerOverSuspect(metrics: (now: number) => string | undefined) {
  const clock = new AppClock()
  const client = new FakeClient(clock)
  const engine = { hangs: false }
  client.answer(suspect, (path): FakeAnswer => {
    if (path.startsWith('/v1/chat')) return { status: 200, body: '{}', afterMs: answeredMs - clock.now() }
    if (path === '/v1/completions') return engine.hangs ? 'never' : { status: 200, body: '{}' }
    if (path !== '/metrics') return well(path)
    const body = metrics(clock.now())
    return body === undefined ? 404 : { status: 200, body }
  })
  client.answer(other, (path) => (path.startsWith('/v1/chat') ? { status: 200, body: '{}' } : well(path)))
  const runtime = { ...(await detectRuntime()), createClient: () => client }
  const config = { workerUrls: [suspect, other], workerStallTimeoutSecs: stallMs / 1000 }
  const gateway = await testGateway(config, { clock, random: () => 0, runtime })
  gateway.probe()
  await settled()
  const [worker] = gateway.registry.pool.workers
  // Round robin: the first request is for the first worker.
  const inFlight = post(gateway)
  await settled()
  assert.equal(worker?.inFlight, 1)
  return { gateway, worker, clock, inFlight, engine }
}

function post(gateway: Pick<Gateway, 'fetch'>): Promise<Response> {
  const { path, json } = apiRequest({ model: 'a' })
  const headers = { 'content-type': 'application/json' }
  const init = { method: 'POST', headers, body: JSON.stringify(json) }
  return gateway.fetch(new Request(`http://router${path}`, init))
}

async function metricOf(
  gateway: Pick<Gateway, 'fetch' | 'operations'>,
  name: string,
  labels = {},
): Promise<number | undefined> {
  const response = await gateway.operations(new Request('http://router/metrics'))
  return metricValue(parseMetrics(await response.text()), `vllm_router_${name}`, {
    worker: suspect,
    ...labels,
  })
}
