/** `--max-concurrent-requests-per-worker`: a worker at its cap is not chosen. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, within } from '../support/deadline.ts'
import { assertBooks } from '../support/failure-books.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { hang } from '../support/wire.ts'

const ask = (router: RouterProcess, id: string) => rawRequest({ port: router.apiPort, ...apiRequest({ id }) })

test('a worker at its own cap gets nothing more: others serve, and then the answer is 503 with Retry-After', {
  timeout: 30_000,
}, async (t) => {
  const workers = await Promise.all([0, 1].map(() => startScriptedWorker([hang], { t })))
  const router = await routerOver(workers, { t, args: ['--max-concurrent-requests-per-worker', '2'] })
  const running = Array.from({ length: 4 }, (_, index) => ask(router, `running-${index}`))
  await within(5000, Promise.all(workers.map((worker) => worker.received(2))), 'two at each worker')
  const more = ask(router, 'one-too-many')
  const { status, text } = await within(5000, more.text(), 'an answer')
  assert.deepEqual([status, JSON.parse(text).error.code], [503, 'no_available_worker'])
  assert.match((await more.head).header('retry-after') ?? '', /^\d+$/)
  assert.deepEqual(
    workers.map(({ requests }) => requests.length),
    [2, 2],
  )
  for (const worker of workers) worker.use(undefined)
  running[0]?.abort()
  await eventually(async () => (await router.metric('vllm_router_running_requests')) === 3, { what: 'room' })
  assert.equal((await within(5000, ask(router, 'in-its-place').text(), 'an answer')).status, 200)
  for (const exchange of running) exchange.abort()
  const ends = { client_closed: 4, completed: 1, no_available_worker: 1 }
  await assertBooks(router, { ends, workers: 2 })
})
