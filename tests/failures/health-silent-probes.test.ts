/** Probes without an answer: what they say counts less than tokens that flow, and less than nothing when most are silent. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, pause, within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { booksClosed, outcomes } from '../support/router-books.ts'
import { routerOver, untilAvailable } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { sized } from '../support/soak.ts'
import { answer, hang, wait } from '../support/wire.ts'

/** Probing twenty times as fast as usual, so that five seconds of silence are a quarter of one. */
const quick = ['--health-check-interval-secs', '0.1', '--health-check-timeout-secs', '0.25']
const quickly = [...quick, '--health-failure-threshold', '2', '--worker-startup-check-interval', '0.1']

/** In full with the router's own times: a health check of 5 s has just missed its time-out. */
const { flags, healthMs, tokens, tokenMs } = sized(
  { flags: [], healthMs: 5000, tokens: 400, tokenMs: 100 },
  { flags: quickly, healthMs: 250, tokens: 150, tokenMs: 20 },
)

test('a health check that is too slow does not take out a worker while its tokens flow', {
  timeout: 120_000,
}, async (t) => {
  const worker = await startScriptedWorker(undefined, { tokens, tokenMs, t })
  const router = await routerOver([worker], { args: flags, t })
  worker.route('GET /health', [wait(healthMs + 10), ...answer(200)])
  const probesBefore = worker.probes.length
  const stream = rawRequest({ port: router.apiPort, ...apiRequest({ stream: true }) })
  const text = within(tokens * tokenMs + 10_000, stream.text(), 'the stream')
  let over = false
  const watched = text.finally(() => {
    over = true
  })
  while (!over) {
    assert.equal(await router.metric('vllm_router_worker_health'), 1)
    await Promise.race([pause(tokenMs * 2), watched])
  }
  assert.match((await text).text, /\[DONE\]\n\n$/)
  assert.deepEqual(messages(router, /^worker (un)?healthy$/), ['worker healthy'])
  // The probes did fail all that time: without tokens they count.
  assert.ok(worker.probes.length - probesBefore >= 5, `${worker.probes.length - probesBefore} probes`)
  const health = () => router.metric('vllm_router_worker_health')
  await eventually(async () => (await health()) === 0, { what: 'the worker is taken out', withinMs: 60_000 })
  await booksClosed(router)
})

test('when most probes are silent those workers serve, the ones that refuse do not, and that is counted and logged', {
  timeout: 60_000,
}, async (t) => {
  const workers = await Promise.all(Array.from({ length: 6 }, () => startScriptedWorker(undefined, { t })))
  const [well, refusing, ...silent] = workers as [ScriptedWorker, ScriptedWorker, ...ScriptedWorker[]]
  const router = await routerOver(workers, { args: quickly, t })
  for (const worker of silent) worker.route('GET /health', [hang])
  await refusing.crash()
  await eventually(() => messages(router, /^worker unhealthy$/).length >= 5, {
    what: 'five unhealthy workers',
  })
  await untilAvailable(router, 5)

  for (let index = 0; index < 50; index++) {
    const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ stream: index % 2 === 0 }) })
    assert.equal((await within(5000, exchange.text(), 'an answer')).status, 200)
    assert.equal((await exchange.head).header('x-router-attempts'), '1')
  }
  for (const worker of [well, ...silent]) assert.ok(worker.requests.length > 0, `${worker.url} served`)
  assert.equal(refusing.requests.length, 0)
  assert.ok(((await router.metric('vllm_router_panic_selections_total')) ?? 0) > 0)
  // Lines are written a moment after what they tell.
  await eventually(() => messages(router, /^panic: /).length >= 1, { what: 'the line on the panic' })

  for (const worker of silent) worker.route('GET /health', undefined)
  const isOver = async () => {
    // The pool looks at itself when somebody asks.
    await untilAvailable(router, 5)
    return messages(router, /^panic is over$/).length >= 1
  }
  await eventually(isOver, { what: 'the end of the panic' })
  assert.deepEqual(outcomes(await booksClosed(router)), { success: 50, failure: 0, neutral: 0 })
})

test('when all workers refuse there is no panic, but an answer at once that says so', {
  timeout: 60_000,
}, async (t) => {
  const workers = await Promise.all([0, 1, 2].map(() => startScriptedWorker(undefined, { t })))
  const router = await routerOver(workers, { args: quickly, t })
  for (const worker of workers) await worker.crash()
  await untilAvailable(router, 0)
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest() })
  const { status, text } = await within(1000, exchange.text(), 'an answer')
  assert.equal(status, 503)
  assert.match(text, /"code":"no_available_worker"/)
  assert.match((await exchange.head).header('retry-after') ?? '', /^\d+$/)
  assert.deepEqual(messages(router, /^panic/), [])
  assert.equal(await router.metric('vllm_router_panic_selections_total'), 0)
})

function messages(router: RouterProcess, pattern: RegExp): string[] {
  return router
    .logs()
    .map(({ msg }) => String(msg))
    .filter((message) => pattern.test(message))
}
