/** The time that a client gives its request: never longer than the router's own, the queue is part of it, the worker is told what is left. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, within } from '../support/deadline.ts'
import { assertBooks } from '../support/failure-books.ts'
import { rawRequest } from '../support/raw-client.ts'
import { booksClosed, outcomes } from '../support/router-books.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { hang } from '../support/wire.ts'

const header = 'x-request-timeout-ms'
const timeout = 30_000

function ask(router: RouterProcess, id: string, ms?: number | string) {
  const headers = ms === undefined ? {} : { [header]: String(ms) }
  return rawRequest({ port: router.apiPort, ...apiRequest({ id, headers }) })
}

/** Milliseconds, and what the client was told. */
async function endOf(exchange: ReturnType<typeof ask>) {
  const { status, text } = await within(10_000, exchange.text(), 'an answer')
  return {
    status,
    code: JSON.parse(text).error?.code,
    ms: (exchange.endedAt ?? Number.NaN) - exchange.sentAt,
  }
}

test("a client cannot ask for more time than the router's own, for less it can", { timeout }, async (t) => {
  const worker = await startScriptedWorker([hang], { t })
  const router = await routerOver([worker], { t, args: ['--request-timeout-secs', '1'] })
  const wishes = [300, 60_000, undefined, 'soon', '-5', '1e3']
  const ends = await Promise.all(wishes.map((wish, index) => endOf(ask(router, `wish-${index}`, wish))))
  for (const [index, { status, code, ms }] of ends.entries()) {
    assert.deepEqual([status, code], [504, 'request_timeout'])
    const limitMs = index === 0 ? 300 : 1000
    assert.ok(ms >= limitMs - 20, `${wishes[index]}: ended after ${ms} ms`)
  }
  const told = worker.requests.map((request) => [
    request.header('x-request-id'),
    Number(request.header(header)),
  ])
  assert.equal(told.length, wishes.length, 'a request whose time is up is not tried again')
  for (const [id, ms] of told) {
    const limitMs = id === 'wish-0' ? 300 : 1000
    assert.ok(Number(ms) > 0 && Number(ms) <= limitMs, `${id}: ${ms} ms left for the worker`)
  }
  await assertBooks(router, { ends: { request_timeout: wishes.length }, workers: 1 })
  assert.equal(
    outcomes(await booksClosed(router)).failure,
    0,
    'nobody is blamed for the impatience of a client',
  )
})

test('the time in the queue is part of it: what is left goes to the worker, and nothing at all when it is up', {
  timeout,
}, async (t) => {
  const worker = await startScriptedWorker([hang], { t })
  const args = ['--max-concurrent-requests', '1', '--queue-timeout-secs', '20']
  const router = await routerOver([worker], { t, args })
  const occupant = ask(router, 'occupant', 800)
  await within(5000, worker.received(1), 'the occupant at the worker')
  const impatient = ask(router, 'impatient', 300)
  await eventually(async () => (await router.metric('vllm_router_queue_depth')) === 1, { what: 'one waits' })
  const patient = ask(router, 'patient', 5000)
  worker.use((request) => (request.header('x-request-id') === 'occupant' ? [hang] : undefined))

  assert.deepEqual((await endOf(impatient)).code, 'request_timeout')
  assert.deepEqual((await endOf(occupant)).code, 'request_timeout')
  assert.equal((await within(5000, patient.text(), 'an answer for the patient one')).status, 200)
  const [, next, ...others] = worker.requests
  assert.equal(others.length, 0, 'the impatient one never reached the worker')
  const waitedMs = (next?.at ?? Number.NaN) - patient.sentAt
  const left = Number(next?.header(header))
  // The client's clock starts a little before the router's, and stops a little after it.
  assert.ok(waitedMs > 200 && left < 5000 - 200, `${left} ms left after ${waitedMs} ms in the queue`)
  assert.ok(left >= 5000 - waitedMs - 5, `${left} ms left after ${waitedMs} ms in the queue`)
  await assertBooks(router, { ends: { request_timeout: 2, completed: 1 }, workers: 1 })
})

test('a retry gets what is left as well, and its time counts from the first attempt', {
  timeout,
}, async (t) => {
  const hanging = await startScriptedWorker([hang], { t })
  const healthy = await startScriptedWorker(undefined, { t })
  const router = await routerOver([hanging, healthy], { t, args: ['--first-token-timeout-secs', '0.5'] })
  for (const id of ['first', 'second']) {
    const request = apiRequest({ stream: true, id, headers: { [header]: '5000' } })
    const { status } = await within(10_000, rawRequest({ port: router.apiPort, ...request }).text(), id)
    assert.equal(status, 200)
  }
  const id = hanging.requests[0]?.header('x-request-id')
  const again = healthy.requests.find((request) => request.header('x-request-id') === id)
  const left = Number(again?.header(header))
  assert.ok(left > 0 && left <= 4500, `${left} ms left for the second attempt`)
  await assertBooks(router, { ends: { completed: 2 }, streams: { completed: 2 }, workers: 2 })
})
