/** What goes wrong late, or is cut short from outside: no lease stays open, and no worker is blamed for a client. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, within } from '../support/deadline.ts'
import { assertBreakersStayedClosed, assertGauges } from '../support/failure-books.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { testGateway } from '../support/test-gateway.ts'
import { answer, chunk, hang, head, lastChunk, reset, wait } from '../support/wire.ts'

const slowFailure = () => [wait(100), ...answer(500, '{"error":{"message":"no","code":500}}')]

test('a client that gives up after the first 500 of its own request opens no breaker', async (t) => {
  const workers = await Promise.all([1, 2].map(() => startScriptedWorker(slowFailure, { t })))
  const router = await routerOver(workers, { t })
  for (let round = 0; round < 16; round++) {
    const headers = { 'x-request-timeout-ms': '150' }
    const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ headers }) })
    assert.equal((await within(5000, exchange.text(), 'an answer')).status, 504)
  }
  await assertBreakersStayedClosed(router)
  await assertGauges(router, 2)
})

test('a status that no response can have is a broken worker, and leaves nothing open', async (t) => {
  const worker = await startScriptedWorker(
    () => [head(600, { 'transfer-encoding': 'chunked' }), chunk('a'), wait(1300), chunk('b'), lastChunk],
    { t },
  )
  const router = await routerOver([worker], { t, args: ['--disable-retries'] })
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest() })
  const { status, text } = await within(5000, exchange.text(), 'an answer')
  assert.equal(status, 502)
  assert.match(text, /bad_worker_response/)
  await assertGauges(router, 1)
})

for (const thrown of [new Error('too late'), 'a string']) {
  test(`a middleware that throws ${typeof thrown} behind a committed stream leaves nothing open`, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const gateway = await testGateway({
      workerUrls: [worker.url],
      port: 0,
      prometheusPort: 0,
      middleware: [
        async (_, next) => {
          await next()
          throw thrown
        },
      ],
    })
    t.after(() => gateway.close())
    const { api } = await gateway.start()
    const { pool } = gateway.registry
    await eventually(() => pool.availableCount === 1, { what: 'the worker is available' })
    const port = Number(new URL(api).port)
    const exchange = rawRequest({ port, ...apiRequest({ stream: true }) })
    const { status, text } = await within(5000, exchange.text(), 'an answer')
    assert.equal(status, 500)
    assert.match(text, /internal_error/)
    await eventually(() => pool.workers[0]?.inFlight === 0, { what: 'nothing in flight' })
  })
}

test('a middleware that throws a string instead of an error leaves no request open in the books', async () => {
  const gateway = await testGateway({
    middleware: [
      () => {
        throw 'a string'
      },
    ],
  })
  const answered = await gateway.fetch(new Request('http://router/v1/completions/x', { method: 'POST' }))
  assert.equal(answered.status, 500)
  const metrics = await gateway.operations(new Request('http://router/metrics'))
  assert.match(await metrics.text(), /_requests_total\{[^}]*"500"[^}]*\} 1\n/)
  await gateway.close()
})

test('a stream that is answered with a plain body falls silent: the limit on silence holds there, too', async (t) => {
  const worker = await startScriptedWorker(
    () => [
      head(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }),
      chunk('{"a":'),
      hang,
    ],
    { t },
  )
  const router = await routerOver([worker], { t, args: ['--stream-idle-timeout-secs', '1'] })
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ stream: true }) })
  const { complete } = await within(6000, exchange.body, 'the end of the body')
  assert.equal(complete, false)
  await assertGauges(router, 1)
  assert.equal(
    await router.metric('vllm_router_request_errors_total', { error_type: 'stream_idle_timeout' }),
    1,
  )
})

test('a request that kills its worker half a second later is seen by two workers, once each', async (t) => {
  const workers = await Promise.all([1, 2, 3].map(() => startScriptedWorker(() => [wait(500), reset], { t })))
  const router = await routerOver(workers, { t })
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest() })
  assert.equal((await within(8000, exchange.text(), 'an answer')).status, 502)
  assert.equal(
    workers.reduce((sum, worker) => sum + worker.requests.length, 0),
    2,
  )
})
