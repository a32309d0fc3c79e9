/** Caps and rates of two processes hold for both together. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually, within } from '../../support/deadline.ts'
import { answeredBy, processPids } from '../../support/process-pids.ts'
import { type RawExchange, rawRequest } from '../../support/raw-client.ts'
import { routerOver } from '../../support/router-over.ts'
import type { RouterProcess } from '../../support/router-process.ts'
import type { Scope } from '../../support/scope.ts'
import { startScriptedWorker } from '../../support/scripted-worker.ts'
import { answer, hang, type Step, until } from '../../support/wire.ts'

const timeout = 30_000
const path = '/v1/completions'
const json = { model: 'test-model', prompt: 'hi' }

/** A worker that counts how many requests it has at once. */
async function countingWorker(t: Scope, steps: readonly Step[]) {
  const count = { now: 0, most: 0 }
  const enter: Step = () => {
    count.now += 1
    count.most = Math.max(count.most, count.now)
  }
  const leave: Step = () => {
    count.now -= 1
  }
  const worker = await startScriptedWorker(() => [enter, ...steps, leave, ...answer(200, '{}')], { t })
  return { worker, count }
}

function ask({ apiPort: port }: RouterProcess): RawExchange {
  return rawRequest({ port, path, json })
}

describe('two processes together', () => {
  test('never have more requests in flight than the cap, and all that wait get their turn', {
    timeout,
  }, async (t) => {
    const cap = 10
    const gate = Promise.withResolvers<void>()
    const { worker, count } = await countingWorker(t, [until(gate.promise)])
    const args = ['--processes', '2', '--max-concurrent-requests', String(cap)]
    const router = await routerOver([worker], { t, args })
    const all = Array.from({ length: 40 }, () => ask(router).text())
    const depth = () => router.metric('vllm_router_queue_depth')
    await eventually(async () => (await depth()) === 30, { what: '30 waiting' })
    await eventually(() => count.now === cap, { what: 'the cap is used' })
    gate.resolve()
    const answers = await within(10_000, Promise.all(all), 'all answers')
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
    assert.equal(count.most, cap)
    await eventually(() => answeredBy(router, path).size === 2, { what: 'lines of both processes' })
    assert.equal(await router.metric('vllm_router_queue_wait_seconds_count'), 30)
    assert.equal(await depth(), 0)
  })

  test('have one waiting room; who leaves it, and whose process dies, makes room at once', {
    timeout,
  }, async (t) => {
    const { worker, count } = await countingWorker(t, [hang])
    const args = ['--max-concurrent-requests', '2', '--queue-size', '2', '--queue-timeout-secs', '20']
    const router = await routerOver([worker], { t, args: ['--processes', '2', ...args] })
    const depth = async (wanted: number) =>
      eventually(async () => (await router.metric('vllm_router_queue_depth')) === wanted, {
        what: `${wanted} waiting`,
      })
    const running = [ask(router), ask(router)]
    await eventually(() => count.now === 2, { what: 'two at the worker' })
    const waiting = [ask(router), ask(router)]
    await depth(2)
    const refused = ask(router)
    assert.match((await within(5000, refused.text(), 'a refusal')).text, /"code":"queue_full"/)
    assert.ok(Number((await refused.head).header('retry-after')) >= 1)
    waiting[0]?.abort()
    await depth(1)
    running[0]?.abort()
    await eventually(() => worker.requests.length === 3, { what: 'the next in line at the worker' })
    await depth(0)
    // Whichever process has them: with both gone, nothing is held.
    for (const pid of processPids(router)) process.kill(pid, 'SIGKILL')
    await eventually(() => processPids(router).length === 4, { what: 'two replacements', withinMs: 15_000 })
    const more = [ask(router), ask(router)]
    await eventually(() => worker.requests.length === 5, { what: 'two more at the worker' })
    for (const one of [...running, ...waiting, ...more]) one.abort()
  })

  test('let no more requests start than the rate allows', { timeout }, async (t) => {
    const { worker } = await countingWorker(t, [])
    const args = ['--processes', '2', '--rate-limit-tokens-per-second', '15']
    const router = await routerOver([worker], { t, args })
    const startedAt = performance.now()
    const exchanges = Array.from({ length: 60 }, () => ask(router))
    const answers = await within(10_000, Promise.all(exchanges.map((one) => one.text())), 'all answers')
    const seconds = (performance.now() - startedAt) / 1000
    const passed = answers.filter(({ status }) => status === 200).length
    assert.ok(passed >= 15 && passed <= 15 + Math.ceil(seconds * 15), `${passed} passed in ${seconds} s`)
    const limited = await router.metric('vllm_router_rejected_total', { reason: 'rate_limited' })
    assert.equal(limited, 60 - passed)
    assert.equal(worker.requests.length, passed)
  })

  test('share the cap of a worker', { timeout }, async (t) => {
    const { worker, count } = await countingWorker(t, [hang])
    const args = ['--processes', '2', '--max-concurrent-requests-per-worker', '3', '--disable-retries']
    const router = await routerOver([worker], { t, args })
    const all = Array.from({ length: 24 }, () => ask(router))
    const refused = async () =>
      (await router.metric('vllm_router_request_errors_total', { error_type: 'no_available_worker' })) === 21
    await eventually(refused, { what: '21 refusals' })
    await eventually(() => count.most >= 3, { what: 'those that are let in have arrived' })
    assert.equal(count.most, 3)
    for (const one of all) one.abort()
  })
})
