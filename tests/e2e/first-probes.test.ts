/** The router restarts under load: its first requests wait for its first probes instead of failing. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { startRouter } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { answer, hang, wait } from '../support/wire.ts'

const timeout = 30_000

test('requests that come before the first probe is answered are served', { timeout }, async (t) => {
  const workers = await Promise.all([1, 2].map(() => startScriptedWorker(undefined, { t })))
  for (const worker of workers) worker.route('GET /health', [wait(600), ...answer(200)])
  const router = await startRouter({ t, args: ['--worker-urls', ...workers.map(({ url }) => url)] })
  const exchanges = Array.from({ length: 20 }, (_, index) =>
    rawRequest({ port: router.apiPort, ...apiRequest({ stream: index % 2 === 0 }) }),
  )
  for (const exchange of exchanges)
    assert.equal((await within(5000, exchange.text(), 'an answer')).status, 200)
})

test('they do not wait for ever: a worker that never answers its probe is nobody', { timeout }, async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  worker.route('GET /health', [hang])
  const args = ['--worker-urls', worker.url, '--health-check-timeout-secs', '60']
  const router = await startRouter({ t, args })
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest() })
  const { status, text } = await within(6000, exchange.text(), 'an answer')
  assert.deepEqual([status, JSON.parse(text).error.code], [503, 'no_available_worker'])
})

test('where the probes say no, the answer comes at once', { timeout }, async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  worker.route('GET /health', answer(503))
  const router = await startRouter({ t, args: ['--worker-urls', worker.url] })
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest() })
  assert.equal((await within(2000, exchange.text(), 'an answer')).status, 503)
})
