/** A process of the router that dies costs nobody else anything; a supervisor that dies leaves nobody behind. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually, within } from '../../support/deadline.ts'
import { answeredBy, processPids, runs } from '../../support/process-pids.ts'
import { type RawExchange, rawRequest } from '../../support/raw-client.ts'
import { routerOver } from '../../support/router-over.ts'
import type { RouterProcess } from '../../support/router-process.ts'
import { startScriptedWorker } from '../../support/scripted-worker.ts'

const timeout = 30_000
const path = '/v1/completions'
const tokens = { tokens: 10, tokenMs: 60 }

function ask({ apiPort: port }: RouterProcess, stream: boolean): RawExchange {
  return rawRequest({ port, path, json: { model: 'test-model', prompt: 'hi', stream } })
}

async function isWhole(exchange: RawExchange): Promise<boolean> {
  const { bytes, complete } = await exchange.body
  return complete && bytes.toString().endsWith('data: [DONE]\n\n')
}

describe('a process that is killed', () => {
  test('is replaced and reported; the streams of the others, readiness and counters are unharmed', {
    timeout,
  }, async (t) => {
    const workers = await Promise.all([0, 1].map(() => startScriptedWorker(undefined, { ...tokens, t })))
    const router = await routerOver(workers, { t, args: ['--processes', '2'] })
    const answers = Array.from({ length: 20 }, () => ask(router, false).text())
    await within(10_000, Promise.all(answers), '20 answers')
    await eventually(() => answeredBy(router, path).size === 2, { what: 'lines of both processes' })
    const finished = () => router.metric('vllm_router_requests_total', { route: path })
    assert.equal(await finished(), 20)
    const drained = { method: 'PATCH', json: { draining: true } }
    const { id } = await firstWorker(router)
    await rawRequest({ port: router.operationsPort, path: `/workers/${id}`, ...drained }).text()

    const streams = Array.from({ length: 30 }, () => ask(router, true))
    await within(5000, Promise.all(streams.map((one) => one.firstEvents(2))), 'all streams have begun')
    const [killed] = processPids(router)
    const number = router.logs().find(({ pid }) => pid === killed)?.process
    process.kill(killed ?? 0, 'SIGKILL')
    const ready = await rawRequest({ port: router.operationsPort, path: '/readiness' }).text()
    assert.equal(ready.status, 200)
    const whole = await within(10_000, Promise.all(streams.map(isWhole)), 'the end of all streams')
    const intact = whole.filter(Boolean).length
    assert.ok(intact > 0 && intact < 30, `${intact} of 30 are whole`)

    await eventually(() => processPids(router).length === 3, { what: 'a replacement', withinMs: 15_000 })
    const report = router.logs().find(({ msg }) => String(msg).startsWith('process ended by itself'))
    assert.deepEqual([report?.process, report?.pid, report?.signal], [number, killed, 'SIGKILL'])
    assert.equal(await router.metric('vllm_router_process_restarts_total'), 1)
    assert.equal(await router.metric('vllm_router_processes'), 2)
    // What the dead one had counted since it was last asked is lost, and nothing else.
    assert.equal(await finished(), 20 + intact)
    assert.equal(await router.metric('vllm_router_running_requests'), 0, 'what it had is not in flight')
    const before = workers[0]?.requests.length
    const again = await Promise.all(Array.from({ length: 20 }, () => ask(router, false).text()))
    assert.ok(again.every(({ status }) => status === 200))
    assert.equal(await finished(), 40 + intact)
    assert.equal(workers[0]?.requests.length, before, 'it drains in the new process too')
  })

  test('again and again, is replaced ever later', { timeout }, async (t) => {
    const router = await routerOver([], { t, args: ['--processes', '2'] })
    const pauses = () => router.logs().flatMap(({ restart_in_ms: ms }) => (ms === undefined ? [] : [ms]))
    for (let round = 1; round <= 3; round++) {
      const pid = processPids(router).findLast(runs)
      process.kill(pid ?? 0, 'SIGKILL')
      await eventually(() => processPids(router).length === 2 + round, { what: `replacement ${round}` })
    }
    assert.deepEqual(pauses(), [0, 100, 200])
  })
})

describe('a supervisor that is killed', () => {
  test('leaves streams that end whole, then no process, and the port', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { ...tokens, t })
    const router = await routerOver([worker], { t, args: ['--processes', '2'] })
    const streams = Array.from({ length: 10 }, () => ask(router, true))
    await within(5000, Promise.all(streams.map((one) => one.firstEvents(2))), 'all streams have begun')
    process.kill(router.pid, 'SIGKILL')
    const whole = await within(10_000, Promise.all(streams.map(isWhole)), 'the end of all streams')
    assert.deepEqual(new Set(whole), new Set([true]))
    await eventually(() => !processPids(router).some(runs), { what: 'no process left' })
    await assert.rejects(ask(router, false).head, 'nobody listens')
  })
})

async function firstWorker({ operationsPort: port }: RouterProcess) {
  const { text } = await rawRequest({ port, path: '/workers' }).text()
  const [first] = (JSON.parse(text) as { workers: { id: string }[] }).workers
  assert.ok(first)
  return first
}
