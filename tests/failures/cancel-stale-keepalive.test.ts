/**
 * A worker that closes idle connections just when they are used again: uvicorn does so after 5 s. The request is sent
 * once more on a connection of its own, the client sees nothing of it, and the worker is not blamed.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { pause, within } from '../support/deadline.ts'
import { assertBooks, assertBreakersStayedClosed } from '../support/failure-books.ts'
import type { Fault } from '../support/fault.ts'
import { closeWhenReused, resetWhenReused } from '../support/faults.ts'
import { rawRequest } from '../support/raw-client.ts'
import { outcomes } from '../support/router-books.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { sized } from '../support/soak.ts'

/** The worker's limit for idle connections; the pauses between requests are spread around it. */
const keepAliveMs = 100
const cycles = sized(2000, 500)
/** Each with a worker of its own: with a common one, a connection would be idle for other times than the pauses. */
const lanes = 25

test('requests right around the time-out of idle connections all succeed, and no breaker hears of it', {
  timeout: 120_000,
}, async (t) => {
  const models = Array.from({ length: lanes }, (_, index) => `model-${index}`)
  const workers = await Promise.all(
    models.map((model) => startScriptedWorker(undefined, { model, keepAliveMs, t })),
  )
  const router = await routerOver(workers, { t })
  await Promise.all(
    models.map(async (model, lane) => {
      for (let cycle = 0; cycle < cycles / lanes; cycle++) {
        await askOnce(router, { model, id: `${model}-${cycle}`, stream: cycle % 2 === 0 })
        // Around the worker's limit, in half milliseconds; the way of the next request takes some, too.
        await pause(keepAliveMs - 15 + ((cycle * 7 + lane) % 41) / 2)
      }
    }),
  )
  const connections = workers.reduce((sum, { connections }) => sum + connections.length, 0)
  t.diagnostic(`${cycles} requests over ${connections} connections`)
  await assertAllOnce(router, workers, cycles)
})

for (const fault of [resetWhenReused(), closeWhenReused()]) {
  test(`each reused connection fails (${fault.name}): every request is sent once more and succeeds`, {
    timeout: 60_000,
  }, async (t) => {
    const worker = await startScriptedWorker(fault as Fault, { t })
    const router = await routerOver([worker], { t })
    for (let index = 0; index < 50; index++) {
      await askOnce(router, { model: 'test-model', id: `again-${index}`, stream: index % 2 === 0 })
    }
    const struck = worker.requests.filter(({ reused }) => reused).length
    assert.ok(struck >= 10, `only ${struck} requests came on a reused connection`)
    await assertAllOnce(router, [worker], 50)
  })
}

async function askOnce(
  router: RouterProcess,
  { model, id, stream }: { readonly model: string; readonly id: string; readonly stream: boolean },
): Promise<void> {
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ model, id, stream }) })
  const { status, text } = await within(5000, exchange.text(), id)
  assert.equal(status, 200, id)
  if (stream) assert.match(text, /data: \[DONE\]\n\n$/, id)
  assert.equal((await exchange.head).header('x-router-attempts'), '1', `attempts of ${id}`)
}

/** Every request ended well, was completed by a worker exactly once, and no outcome was a failure. */
async function assertAllOnce(
  router: RouterProcess,
  workers: readonly ScriptedWorker[],
  count: number,
): Promise<void> {
  const times = workers.flatMap(({ completed }) => [...completed.values()])
  assert.equal(times.length, count)
  assert.ok(times.every((completions) => completions === 1))
  const streams = Math.ceil(count / 2)
  await assertBooks(router, {
    ends: { completed: count },
    streams: { completed: streams },
    workers: workers.length,
  })
  assert.deepEqual(outcomes(await router.metrics()), { success: count, failure: 0, neutral: 0 })
  await assertBreakersStayedClosed(router)
}
