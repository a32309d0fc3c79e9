/** Nobody waits on a worker that is known to be hung, and hardly anybody is sent to it before that is known. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { within } from '../support/deadline.ts'
import { assertBooks, tally } from '../support/failure-books.ts'
import { percentile } from '../support/percentile.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { steadyLoad } from '../support/steady-load.ts'
import { chunk, hang, streamHead } from '../support/wire.ts'

/** A silent worker is found after a second and a half instead of twenty. */
const probes = [
  ...['--health-check-interval-secs', '0.3', '--health-check-timeout-secs', '0.5'],
  ...['--health-failure-threshold', '2'],
]

const ask = (router: RouterProcess, stream: boolean) =>
  rawRequest({ port: router.apiPort, ...apiRequest({ stream }) })

/** From now on it takes everything, probes included, and answers nothing: as after SIGSTOP. */
function stopAnswering(worker: ScriptedWorker): void {
  worker.use([hang])
  for (const path of ['/health', '/v1/models', '/metrics']) worker.route(`GET ${path}`, [hang])
}

describe('one of three workers stops answering, five requests a second', () => {
  for (const policy of ['round_robin', 'least_inflight', 'random']) {
    test(`${policy}: it gets two more at most, and all are answered`, { timeout: 60_000 }, async (t) => {
      const workers = await Promise.all([1, 2, 3].map(() => startScriptedWorker(undefined, { t })))
      const [hung] = workers as [ScriptedWorker]
      const router = await routerOver(workers, { t, args: [...probes, '--policy', policy] })
      const warm = await Promise.all(
        Array.from({ length: 24 }, async (_, index) => {
          const exchange = ask(router, index % 2 === 0)
          await exchange.text()
          return (exchange.endedAt ?? 0) - exchange.sentAt
        }),
      )
      const before = hung.requests.length
      stopAnswering(hung)
      const answers = await steadyLoad({ perSecond: 5, seconds: 5 }, (index) =>
        within(20_000, ask(router, index % 2 === 0).text(), 'an answer'),
      )
      assert.deepEqual(tally(answers.map(({ status }) => String(status))), { 200: answers.length })
      const more = hung.requests.length - before
      // By chance, all that come before it is late may follow the first: late is four times the usual time, which is
      // long where the machine is busy.
      const lateMs = Math.max(400, 4 * percentile(warm, 1))
      assert.ok(more <= (policy === 'random' ? 1 + Math.ceil(lateMs / 200) : 2), `${more} more`)
      const ends = { completed: warm.length + answers.length }
      await assertBooks(router, {
        ends,
        streams: { completed: Math.ceil(warm.length / 2 + answers.length / 2) },
        workers: 3,
      })
    })
  }
})

test('a committed stream on a worker that is found dead ends with an error event after a short grace', {
  timeout: 60_000,
}, async (t) => {
  const workers = await Promise.all([1, 2, 3].map(() => startScriptedWorker(undefined, { t })))
  const router = await routerOver(workers, { t, args: probes })
  const [hung] = workers as [ScriptedWorker]
  hung.use((request) => {
    const { prelude, tokens } = hung.answerTo(request)
    return [streamHead(), ...[...prelude, ...tokens.slice(0, 2)].map(chunk), hang]
  })
  let exchange = ask(router, true)
  for (let sent = 0; hung.requests.length === 0; sent++) {
    assert.ok(sent < 10, 'one request reaches it')
    await within(5000, exchange.firstEvents(1), 'content')
    if (hung.requests.length === 0) exchange = ask(router, true)
  }
  await within(5000, exchange.firstEvents(2), 'content')
  stopAnswering(hung)
  const { text } = await within(15_000, exchange.text(), 'an end')
  assert.match(text, /"code":"worker_lost"/)
})

test('all workers fall silent at once: their requests are waited for, since probes may be at fault', {
  timeout: 60_000,
}, async (t) => {
  const workers = await Promise.all([1, 2].map(() => startScriptedWorker(undefined, { t })))
  const router = await routerOver(workers, { t, args: probes })
  const gates = workers.map(() => Promise.withResolvers<void>())
  for (const [index, worker] of workers.entries()) {
    worker.use((request) => [() => gates[index]!.promise, ...worker.healthy(request)])
    for (const path of ['/health', '/v1/models', '/metrics']) worker.route(`GET ${path}`, [hang])
  }
  const exchanges = [ask(router, false), ask(router, true)]
  const unhealthy = () => router.logs().filter(({ msg }) => msg === 'worker unhealthy').length
  await within(
    10_000,
    (async () => {
      while (unhealthy() < 2) await new Promise((resolve) => setTimeout(resolve, 20))
    })(),
    'both are unhealthy',
  )
  await new Promise((resolve) => setTimeout(resolve, 3000))
  for (const { resolve } of gates) resolve()
  for (const exchange of exchanges) {
    const head = await within(5000, exchange.head, 'a head')
    assert.deepEqual([head.status, head.header('x-router-attempts')], [200, '1'])
    assert.equal((await within(5000, exchange.text(), 'an answer')).status, 200)
  }
})

test('a plain request on a worker that was silent when it was removed goes elsewhere', {
  timeout: 60_000,
}, async (t) => {
  const workers = await Promise.all([1, 2].map(() => startScriptedWorker(undefined, { t })))
  const [hung, other] = workers as [ScriptedWorker, ScriptedWorker]
  const router = await routerOver(workers, { t, args: probes })
  stopAnswering(hung)
  const exchanges = [ask(router, false), ask(router, false)]
  const answers = Promise.all(exchanges.map((exchange) => exchange.text()))
  await hung.received(1)
  const { text } = await rawRequest({ port: router.operationsPort, path: '/workers' }).text()
  const listed = (JSON.parse(text) as { workers: { id: string; url: string }[] }).workers
  const path = `/workers/${listed.find(({ url }) => url === hung.url)?.id}`
  await rawRequest({ port: router.operationsPort, method: 'DELETE', path }).text()
  for (const { status } of await within(20_000, answers, 'both answers')) assert.equal(status, 200)
  assert.equal(other.requests.length, 2)
  assert.equal(await router.metric('vllm_router_running_requests'), 0)
})
