/** Workers that say they are busy: their answer is the answer, and retries do not make the overload worse. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RetryBudget } from '../../policies/resilience/retry-budget.ts'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, within } from '../support/deadline.ts'
import { assertBooks, assertBreakersStayedClosed } from '../support/failure-books.ts'
import { type Fault, status } from '../support/faults.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { sized } from '../support/soak.ts'
import { steadyLoad } from '../support/steady-load.ts'

const perSecond = 200
const seconds = sized(30, 5)
/** The retry budget of ten seconds may be spent at once: what a shorter time may have beyond its own. */
const burst = (time: number): number => 10 * Math.max(0, 10 - time)
/** What a busy worker says. */
const saidWith = (code: number): string =>
  JSON.stringify({ error: { message: 'queue is full', type: 'Busy', param: null, code } })
const busyWith = (code: number, retryAfter: number): Fault =>
  status(code, saidWith(code), { 'retry-after': retryAfter })

async function ask(router: RouterProcess, stream = false) {
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ stream }) })
  const { status: code, text } = await within(20_000, exchange.text(), 'an answer')
  const head = await exchange.head
  return { code, text, retryAfter: head.header('retry-after'), worker: head.header('x-router-worker') }
}

/** A slow machine would send many requests at once before the first refusal is known. */
async function untilRefused(router: RouterProcess, worker: ScriptedWorker): Promise<void> {
  const refused = async () => {
    assert.equal((await ask(router)).code, 200)
    return worker.requests.length > 0
  }
  await eventually(refused, { what: 'a refusal', withinMs: 5000 })
}

const attemptsOf = (workers: readonly ScriptedWorker[]): number =>
  workers.reduce((sum, { requests }) => sum + requests.length, 0)

test(`${perSecond} requests a second for ${seconds} s to workers that are all busy`, {
  timeout: 120_000,
}, async (t) => {
  const faults = [busyWith(503, 7), busyWith(429, 7), busyWith(503, 7)]
  const workers = await Promise.all(faults.map((fault) => startScriptedWorker(fault, { t })))
  const router = await routerOver(workers, { t })

  const answers = await steadyLoad({ perSecond, seconds }, (index) => ask(router, index % 2 === 0))
  const offered = answers.length
  const attempts = attemptsOf(workers)
  const bound = 1.2 * offered + 10 * seconds + burst(seconds)
  t.diagnostic(`${offered} offered, ${attempts} attempts, bound ${bound}`)

  for (const { code, text, retryAfter } of answers) {
    assert.ok(code === 503 || code === 429)
    assert.equal(text, saidWith(code))
    // What is left of the pause, where no worker could be asked again.
    assert.ok(retryAfter === '7' || retryAfter === '6', `Retry-After ${retryAfter}`)
  }
  assert.ok(attempts > offered && attempts <= bound, `${attempts} attempts`)
  await assertBreakersStayedClosed(router)
  await assertBooks(router, { ends: { completed: offered }, workers: 3 })
})

test('a worker that asks for a pause is left alone for that long while there are others', {
  timeout: 30_000,
}, async (t) => {
  const pauseMs = 1000
  const busy = await startScriptedWorker(busyWith(429, pauseMs / 1000), { t })
  const others = await Promise.all([1, 2].map(() => startScriptedWorker(undefined, { t })))
  const router = await routerOver([busy, ...others], { t })
  const codes: number[] = []
  while (busy.requests.length === 0) codes.push((await ask(router)).code)
  const askedAt = busy.requests[0]?.at ?? Number.NaN

  while (busy.requests.length === 1 && performance.now() < askedAt + 5 * pauseMs) {
    codes.push((await ask(router)).code)
  }
  const waited = (busy.requests[1]?.at ?? Number.NaN) - askedAt
  t.diagnostic(`asked again after ${waited.toFixed(0)} ms, ${codes.length} requests in between`)

  assert.ok(codes.every((code) => code === 200))
  assert.ok(codes.length > 20, 'others were asked')
  assert.ok(waited >= pauseMs, `asked again after ${waited} ms`)
  await assertBreakersStayedClosed(router)
  await assertBooks(router, { ends: { completed: codes.length }, workers: 3 })
})

test('when all workers ask for a pause, they are asked all the same', { timeout: 30_000 }, async (t) => {
  const workers = await Promise.all([1, 2].map(() => startScriptedWorker(busyWith(429, 60), { t })))
  const router = await routerOver(workers, { t })
  assert.equal((await ask(router)).code, 429)
  for (const worker of workers) worker.use(undefined)
  assert.equal((await ask(router)).code, 200)
  await assertBooks(router, { ends: { completed: 2 }, workers: 2 })
})

test('the retry budget keeps its word over every 30 s, whenever they begin', () => {
  for (const beginsAt of [0, 1, 250, 499, 750, 999, 12_345.6]) {
    let now = beginsAt
    const budget = new RetryBudget({ ratio: 0.2, minimumPerSecond: 10, now: () => now })
    let retries = 0
    for (let requests = 1; requests <= 6000; requests++) {
      now = beginsAt + requests * 5
      budget.deposit()
      while (budget.withdraw()) retries++
    }
    const promised = 0.2 * 6000 + 10 * 30
    assert.ok(
      retries <= promised && retries >= 0.85 * promised,
      `${retries} retries from ${beginsAt} on, ${promised} promised`,
    )
  }
})

/** As a real vLLM with a bounded queue: 503 without a word about when to come again. */
const full: Fault = status(503, saidWith(503))

for (const { workers: size, perSecond: rate } of [
  { workers: 2, perSecond: 100 },
  { workers: 3, perSecond: 200 },
]) {
  test(`one of ${size} refuses everything, ${rate} requests a second: nobody else is refused, and it is hardly asked`, {
    timeout: 60_000,
  }, async (t) => {
    const workers = await Promise.all(
      Array.from({ length: size }, (_, index) => startScriptedWorker(index === 0 ? full : undefined, { t })),
    )
    const router = await routerOver(workers, { t })
    await untilRefused(router, workers[0]!)
    const answers = await steadyLoad({ perSecond: rate, seconds: sized(12, 4) }, (index) =>
      ask(router, index % 2 === 0),
    )
    assert.ok(answers.every(({ code }) => code === 200))
    const [busy, ...others] = workers.map(({ requests }) => requests.length)
    t.diagnostic(`${busy} of ${answers.length} were tried at the busy one first`)
    assert.ok((busy ?? 0) <= 0.03 * answers.length, `${busy} first tries`)
    // The refused ones do not all go to its neighbour.
    assert.ok(Math.max(...others) - Math.min(...others) <= Math.max(5, (busy ?? 0) / 2), `${others}`)
    const said = router.logs().filter(({ msg }) => msg === 'worker busy')
    assert.equal(said.length, 1, 'one line, not one for each refusal')
    assert.equal(await router.metric('vllm_router_worker_busy', { worker: workers[0]?.url ?? '' }), 1)
    assert.equal((await router.metric('vllm_router_retries_exhausted_total')) ?? 0, 0)
    await assertBreakersStayedClosed(router)
  })
}

test('a busy worker has room again: it is asked like the others, and one line says so', {
  timeout: 30_000,
}, async (t) => {
  const busy = await startScriptedWorker(full, { t })
  const other = await startScriptedWorker(undefined, { t })
  const router = await routerOver([busy, other], { t })
  while (busy.requests.length === 0) await ask(router)
  busy.use(undefined)
  const shown = async () => {
    const { text } = await rawRequest({ port: router.operationsPort, path: '/workers' }).text()
    return JSON.parse(text).workers.map((worker: { last_choice: unknown }) => worker.last_choice)
  }
  assert.deepEqual(await shown(), ['busy', null])
  const recovered = () => router.logs().some(({ msg }) => msg === 'worker has room again')
  const asked = async () => {
    assert.equal((await ask(router)).code, 200)
    return recovered()
  }
  await eventually(asked, { what: 'a line that says so', withinMs: 5000 })
  assert.deepEqual(await shown(), [null, null])
})

test('all are busy and name no time: the client hears so at once, and when to come again', {
  timeout: 30_000,
}, async (t) => {
  const workers = await Promise.all([1, 2, 3].map(() => startScriptedWorker(full, { t })))
  const router = await routerOver(workers, { t })
  const first = await ask(router)
  assert.equal(attemptsOf(workers), 3, 'each was asked once')
  const second = await ask(router)
  assert.equal(attemptsOf(workers), 4, 'then one: a worker may have room again')
  for (const { code, text, retryAfter } of [first, second]) {
    assert.deepEqual({ code, text, retryAfter }, { code: 503, text: saidWith(503), retryAfter: '1' })
  }
})

test('a worker that drains refuses everything with 500: others serve, it is not blamed, and not tried again', {
  timeout: 30_000,
}, async (t) => {
  const said =
    '{"error":{"message":"cannot schedule new futures after shutdown","type":"InternalServerError","code":500}}'
  const draining = await startScriptedWorker(status(500, said), { t })
  const other = await startScriptedWorker(undefined, { t })
  const args = ['--cb-timeout-duration-secs', '0.1', '--health-check-interval-secs', '0.2']
  const router = await routerOver([draining, other], { t, args })
  await untilRefused(router, draining)
  const answers = await steadyLoad({ perSecond: 50, seconds: 2 }, (index) => ask(router, index % 2 === 0))
  assert.ok(answers.every(({ code }) => code === 200))
  assert.ok(draining.requests.length <= 2, `${draining.requests.length} requests`)
  await assertBreakersStayedClosed(router)
})
