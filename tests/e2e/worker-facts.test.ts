/** What an operator sees of a worker beyond its state: the last minute, what waits on it, what its engine says. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WorkerState } from '../../app/workers/worker-state.ts'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { answer, hang } from '../support/wire.ts'

const timeout = 60_000

async function state(router: RouterProcess, url: string): Promise<WorkerState> {
  const { text } = await within(
    5000,
    rawRequest({ port: router.operationsPort, path: '/workers' }).text(),
    'a list',
  )
  return (JSON.parse(text) as { workers: WorkerState[] }).workers.find((worker) => worker.url === url)!
}

async function ask(router: RouterProcess, stream: boolean): Promise<number> {
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ stream }) })
  return (await within(10_000, exchange.text(), 'an answer')).status
}

test('refusals, further attempts and times to the first token are told apart', { timeout }, async (t) => {
  const busy = await startScriptedWorker(answer(503, '{}'), { t })
  const good = await startScriptedWorker(undefined, { t })
  const router = await routerOver([busy, good], { t })
  for (let time = 0; time < 6; time++) assert.equal(await ask(router, true), 200)
  const [refusing, serving] = [await state(router, busy.url), await state(router, good.url)]
  assert.ok(refusing.recent.refusals >= 1)
  assert.equal(refusing.recent.attempts, refusing.recent.refusals)
  assert.equal(refusing.recent.failures, 0)
  assert.equal(serving.recent.attempts, 6)
  assert.equal(serving.recent.retries, refusing.recent.refusals)
  assert.ok((serving.recent.first_token_ms?.p50 ?? 0) > 0)
  assert.equal(refusing.recent.first_token_ms, null)

  const worker = busy.url
  assert.equal(await router.metric('vllm_router_worker_refusals_total', { worker }), refusing.recent.refusals)
  assert.equal(
    await router.metric('vllm_router_worker_retries_total', { worker: good.url }),
    serving.recent.retries,
  )
  const p95 = { worker: good.url, percentile: '95' }
  assert.ok(((await router.metric('vllm_router_worker_first_token_seconds', p95)) ?? 0) > 0)
  // What is not known has no series: a 0 would be a claim.
  assert.equal(await router.metric('vllm_router_worker_first_token_seconds', { ...p95, worker }), undefined)
})

test('requests without a sign of life are counted, with the silence meanwhile', { timeout }, async (t) => {
  const worker = await startScriptedWorker([hang], { t })
  const router = await routerOver([worker], { t })
  const exchanges = [true, false].map((stream) =>
    rawRequest({ port: router.apiPort, ...apiRequest({ stream }) }),
  )
  t.after(() => exchanges.map((exchange) => exchange.abort()))
  await eventually(async () => (await state(router, worker.url)).waiting.quiet_seconds >= 0.2, {
    what: 'it has been silent for a while',
  })
  assert.equal((await state(router, worker.url)).waiting.requests, 2)
  assert.equal(await router.metric('vllm_router_worker_waiting_requests', { worker: worker.url }), 2)
  for (const exchange of exchanges) exchange.abort()
  await eventually(async () => (await state(router, worker.url)).waiting.requests === 0, {
    what: 'nobody waits',
  })
  assert.deepEqual((await state(router, worker.url)).waiting, { requests: 0, quiet_seconds: 0 })
})

test('the series of a worker go with it', { timeout }, async (t) => {
  const [one, two] = [
    await startScriptedWorker(undefined, { t }),
    await startScriptedWorker(undefined, { t }),
  ]
  const router = await routerOver([one, two], { t })
  for (let time = 0; time < 4; time++) await ask(router, true)
  const { id } = await state(router, one.url)
  const gone = rawRequest({ port: router.operationsPort, method: 'DELETE', path: `/workers/${id}` })
  assert.equal((await within(5000, gone.text(), 'an answer')).status, 204)
  const { text } = await within(
    5000,
    rawRequest({ port: router.operationsPort, path: '/metrics' }).text(),
    'metrics',
  )
  assert.ok(!text.includes(one.url))
  assert.ok(text.includes(two.url))
})
