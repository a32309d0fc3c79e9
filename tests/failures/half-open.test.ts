/** Breakers under load: a trial costs nobody else time, one client's bad input opens none, and the last worker serves. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, within } from '../support/deadline.ts'
import { assertBooks, assertBreakersStayedClosed, tally } from '../support/failure-books.ts'
import { resetBeforeHead } from '../support/faults.ts'
import { type LagMeter, startLagMeter } from '../support/lag-meter.ts'
import { samplesOf } from '../support/metrics.ts'
import { percentile } from '../support/percentile.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver, untilAvailable } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { sized } from '../support/soak.ts'
import { steadyLoad } from '../support/steady-load.ts'
import { answer, wait } from '../support/wire.ts'

async function ask(router: RouterProcess, headers: Record<string, string> = {}) {
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ headers }) })
  const { status, text } = await within(20_000, exchange.text(), 'an answer')
  const head = await exchange.head
  return {
    status,
    text,
    ms: (exchange.endedAt ?? Number.NaN) - exchange.sentAt,
    worker: head.header('x-worker-id'),
    retryAfter: head.header('retry-after'),
  }
}

function startWorkers(
  count: number,
  t: Parameters<typeof startScriptedWorker>[1],
): Promise<ScriptedWorker[]> {
  const names = Array.from({ length: count }, (_, index) => `w${index + 1}`)
  return Promise.all(
    names.map((id) => startScriptedWorker(undefined, { ...t, headers: { 'x-worker-id': id } })),
  )
}

const trialMs = sized(3000, 1000)

test(`a half-open trial that takes ${trialMs} ms delays nobody else`, { timeout: 60_000 }, async (t) => {
  const [ill, well] = (await startWorkers(2, { t })) as [ScriptedWorker, ScriptedWorker]
  const args = ['--cb-timeout-duration-secs', '0.5', '--cb-success-threshold', '2']
  const router = await routerOver([ill, well], { t, args })
  const state = () => router.metric('vllm_router_cb_state', { worker: ill.url })
  const before = await steadyLoad({ perSecond: 100, seconds: 1 }, () => ask(router))
  const healthyMs = percentile(
    before.map(({ ms }) => ms),
    0.99,
  )

  ill.use(resetBeforeHead())
  let asked = before.length
  for (; (await state()) !== 1; asked++) assert.equal((await ask(router)).status, 200)
  const failed = ill.requests.length
  // Two trials, both slow; from then on it is well again.
  ill.use((request) =>
    ill.requests.length <= failed + 2 ? [wait(trialMs), ...ill.healthy(request)] : undefined,
  )
  const load = steadyLoad({ perSecond: 100, seconds: (0.5 * 1.1 * 1000 + 2 * trialMs + 500) / 1000 }, () =>
    ask(router),
  )
  const lag = startLagMeter(t)
  await eventually(async () => (await state()) === 2, { what: 'a half-open breaker' })
  const answers = await load
  const others = answers.filter(({ worker }) => worker === 'w2').map(({ ms }) => ms)
  const [first, second, third] = ill.requests.slice(failed)
  t.diagnostic(
    `p99 ${healthyMs.toFixed(1)} ms before; during the trials ${others.length} others: ` +
      `p99 ${percentile(others, 0.99).toFixed(1)}, slowest ${percentile(others, 1).toFixed(1)} ms (machine: ${lag.worst.toFixed(1)})`,
  )

  assert.ok(answers.every(({ status }) => status === 200))
  assert.ok(percentile(others, sized(0.99, 0.9)) <= healthyMs + 20 + lag.worst)
  assert.ok(percentile(others, 1) < trialMs / 2, 'nobody waited for a trial')
  // One trial at a time, and the next request comes only when the breaker has closed.
  assert.ok(first && second && third, 'two trials and more')
  assert.ok(second.at >= (first.completedAt ?? Number.POSITIVE_INFINITY), 'the second trial after the first')
  assert.ok(third.at >= (second.completedAt ?? Number.POSITIVE_INFINITY), 'the others after the second trial')
  assert.equal(await state(), 0)
  await assertBooks(router, { ends: { completed: asked + answers.length }, workers: 2 })
})

test('one client that draws a 500 from every worker: others are served, no breaker opens', {
  timeout: 60_000,
}, async (t) => {
  const workers = await startWorkers(7, { t })
  const bad = answer(
    500,
    '{"error":{"message":"bad input","type":"InternalServerError","param":null,"code":500}}',
  )
  for (const worker of workers) worker.use((request) => (request.header('x-bad') ? bad : undefined))
  const router = await routerOver(workers, { t })

  let over = false
  const drawn = (async () => {
    const statuses: number[] = []
    while (!over) statuses.push((await ask(router, { 'x-bad': '1' })).status)
    return statuses
  })()
  const others = await steadyLoad({ perSecond: 50, seconds: sized(20, 2) }, () => ask(router))
  over = true
  const statuses = await drawn
  t.diagnostic(`${statuses.length} bad requests, ${others.length} of others`)

  await assertBreakersStayedClosed(router)
  assert.deepEqual(tally(others.map(({ status }) => String(status))), { 200: others.length })
  assert.deepEqual(tally(statuses.map(String)), { 500: statuses.length })
  await assertBooks(router, { ends: { completed: statuses.length + others.length }, workers: 7 })
})

test('6 of 7 workers answer 500: those they fail to serve are few, then every request is served', async (t) => {
  const workers = await startWorkers(7, { t })
  // At random: one request after the other, taken in turn by threes, would always meet the same of seven.
  const args = [
    '--policy',
    'random',
    '--cb-timeout-duration-secs',
    '60',
    '--retry-budget-min-per-sec',
    '1000',
  ]
  const router = await routerOver(workers, { t, args })
  for (const worker of workers.slice(0, 6)) worker.use(answer(500, '{"error":{"message":"no","code":500}}'))
  const open = async () => (await router.metric('vllm_router_active_workers')) === 1
  let asked = 0
  // Three attempts find the one that is well in three of seven requests; each of those speaks against the others.
  for (; asked < 300 && !(await open()); asked++) await ask(router)
  t.diagnostic(`${asked} requests until the breakers of six were open`)
  assert.ok(asked < 250, `${asked} requests until the breakers of six were open`)
  const after = await steadyLoad({ perSecond: 100, seconds: 1 }, () => ask(router))
  assert.deepEqual(tally(after.map(({ status }) => String(status))), { 200: after.length })
})

test('6 of 7 workers die under load: every request is served', { timeout: 60_000 }, async (t) => {
  const workers = await startWorkers(7, { t })
  const router = await routerOver(workers, { t })
  const load = steadyLoad({ perSecond: 100, seconds: sized(20, 2) }, () => ask(router))
  await eventually(() => workers.every(({ requests }) => requests.length > 3), { what: 'work for each' })
  await Promise.all(workers.slice(0, 6).map((worker) => worker.crash()))
  const answers = await load
  assert.deepEqual(tally(answers.map(({ status }) => String(status))), { 200: answers.length })
  await assertBooks(router, { ends: { completed: answers.length }, workers: 7 })
})

test('6 of 7 workers break every connection: once their breakers are open every request is served, trials included', {
  timeout: 60_000,
}, async (t) => {
  const workers = await startWorkers(7, { t })
  const failing = workers.slice(0, 6)
  // Short, so that all of them are tried again and again, several at the same time.
  const router = await routerOver(workers, { t, args: ['--cb-timeout-duration-secs', '0.3'] })
  for (const worker of failing) worker.use(resetBeforeHead())
  const opened = async () => {
    const moved = samplesOf(await router.metrics(), 'vllm_router_cb_state_transitions_total')
    return moved.filter(({ labels, value }) => labels.to === 'open' && value > 0).length
  }
  for (let asked = 0; (await opened()) < failing.length; asked++) {
    assert.ok(asked < 500, 'the breakers open')
    await ask(router)
  }
  const attempts = () => failing.reduce((sum, { requests }) => sum + requests.length, 0)
  const before = attempts()
  const answers = await steadyLoad({ perSecond: 50, seconds: sized(20, 2) }, () => ask(router))
  t.diagnostic(`${answers.length} requests, ${attempts() - before} trials`)
  assert.deepEqual(tally(answers.map(({ status }) => String(status))), { 200: answers.length })
  assert.ok(attempts() - before >= failing.length, 'there were trials')
})

test('7 of 7 workers refuse: 503 with Retry-After at once', { timeout: 60_000 }, async (t) => {
  const workers = await startWorkers(7, { t })
  const router = await routerOver(workers, { t })
  assert.equal((await ask(router)).status, 200)
  await Promise.all(workers.map((worker) => worker.crash()))
  const first = JSON.parse((await ask(router)).text).error.code
  assert.ok(first === 'worker_unreachable' || first === 'no_available_worker', first)
  await untilAvailable(router, 0)
  await assertUnavailable(router, startLagMeter(t))
  const ends = { completed: 1, ...tally([first, ...Array.from({ length: 50 }, () => 'no_available_worker')]) }
  await assertBooks(router, { ends, workers: 7 })
})

test('7 of 7 workers break their connections: 503 with Retry-After once the breakers are open', {
  timeout: 60_000,
}, async (t) => {
  const workers = await startWorkers(7, { t })
  const router = await routerOver(workers, { t, args: ['--cb-timeout-duration-secs', '20'] })
  for (const worker of workers) worker.use(resetBeforeHead())
  const opened = () => router.metric('vllm_router_cb_state')
  let asked = 0
  for (; (await opened()) !== workers.length; asked++) {
    assert.ok(asked < 200, 'the breakers open')
    assert.equal((await ask(router)).status, 502)
  }
  t.diagnostic(`${asked} requests opened ${workers.length} breakers`)
  await assertUnavailable(router, startLagMeter(t))
  await assertBooks(router, { ends: { worker_unreachable: asked, no_available_worker: 50 }, workers: 7 })
})

/** Asks 50 times; each answer comes at once and says when to come again. */
async function assertUnavailable(router: RouterProcess, lag: LagMeter): Promise<void> {
  const times: number[] = []
  for (let count = 0; count < 50; count++) {
    const { status, text, retryAfter, ms } = await ask(router)
    times.push(ms)
    assert.equal(status, 503)
    assert.equal(JSON.parse(text).error.code, 'no_available_worker')
    assert.ok(Number(retryAfter) >= 1, `Retry-After ${retryAfter}`)
  }
  // The short form runs beside other tests: there the machine, not the router, makes the slowest.
  const ms = percentile(times, sized(0.99, 0.5))
  assert.ok(ms <= 50 + lag.worst, `${ms} ms (machine: ${lag.worst})`)
}
