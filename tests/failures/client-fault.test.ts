/** Requests that are themselves at fault: nobody is blamed for them, nobody else pays for them, few workers die of them. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { workerErrorBody } from '../support/answers.ts'
import { apiRequest } from '../support/api-bodies.ts'
import { within } from '../support/deadline.ts'
import { assertBooks, assertBreakersStayedClosed, tally } from '../support/failure-books.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { type Chooser, type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { sendAll } from '../support/send-all.ts'
import { answer, chunk, close, lastChunk, type Script, streamHead } from '../support/wire.ts'

const workersCount = 7

/** A client's mistake in the two ways in which vLLM tells it: as a status, or as the first event of a stream. */
const refusals: Readonly<Record<string, Script>> = {
  'status-400': answer(400, workerErrorBody(400)),
  'status-422': answer(422, workerErrorBody(422)),
  'event-400': [
    streamHead(),
    chunk(`data: ${workerErrorBody(400)}\n\n`),
    chunk('data: [DONE]\n\n'),
    lastChunk,
  ],
}

test('1,000 requests with a mistake of the client: answered as the worker does, no retry, no blame', {
  timeout: 60_000,
}, async (t) => {
  const refuse: Chooser = (request) => refusals[request.header('x-mistake') ?? '']
  const workers = await Promise.all([1, 2, 3].map(() => startScriptedWorker(refuse, { t })))
  const router = await routerOver(workers, { t })
  const mistakes = Array.from({ length: 1000 }, (_, index) => Object.keys(refusals)[index % 3] ?? '')
  const requests = mistakes.map((mistake) =>
    apiRequest({ stream: mistake === 'event-400', headers: { 'x-mistake': mistake } }),
  )

  const answers = await sendAll(requests, { port: router.apiPort, connections: 10 })

  for (const [index, { head, body }] of answers.entries()) {
    const mistake = mistakes[index] ?? ''
    const status = mistake === 'event-400' ? 200 : Number(mistake.slice(-3))
    assert.equal(head.status, status, mistake)
    assert.equal(head.header('x-router-attempts'), '1')
    const wanted =
      status === 200 ? `data: ${workerErrorBody(400)}\n\ndata: [DONE]\n\n` : workerErrorBody(status)
    assert.equal(body.bytes.toString(), wanted, mistake)
  }
  assert.equal(
    workers.reduce((sum, worker) => sum + worker.requests.length, 0),
    1000,
  )
  assert.equal((await router.metric('vllm_router_cb_outcomes_total', { outcome: 'success' })) ?? 0, 1000)
  assert.equal(await router.metric('vllm_router_retries_total'), undefined)
  await assertBreakersStayedClosed(router)
  const events = mistakes.filter((mistake) => mistake === 'event-400').length
  await assertBooks(router, {
    ends: { completed: 1000 - events, worker_error: events },
    streams: { worker_error: events },
    workers: 3,
  })
})

describe('a poison request, which kills whatever serves it, kills at most two workers', () => {
  const marker = 'x-poison'
  /** The whole process dies of the request: its other connections are reset, and nobody listens any more. */
  const dies = (self: () => ScriptedWorker | undefined, before: Script): Chooser => {
    return (request) =>
      request.header(marker) === undefined ? undefined : [...before, () => void self()?.crash()]
  }
  /** A supervisor restarts it at once, or only one of several server processes died: the port stays open. */
  const closes = (before: Script): Chooser => {
    return (request) => (request.header(marker) === undefined ? undefined : [...before, close])
  }
  const head: Script = [streamHead()]

  for (const [name, before, stream] of [
    ['before its head', [], true],
    ['before its head, plain', [], false],
    ['after its head, in prefill', head, true],
  ] as const) {
    test(`dying ${name}`, { timeout: 30_000 }, async (t) => {
      const { router, workers } = await start(t, (self) => dies(self, before))
      // Every worker has answered before: there are idle connections, and a reset could be that of a stale one.
      await warm(router)
      const { status, code } = await poison(router, stream)
      const killed = workers.filter(({ requests }) => requests.some((request) => request.header(marker)))
      t.diagnostic(`${killed.length} of ${workersCount} workers died`)
      assert.ok(killed.length <= 2, `${killed.length} workers died`)
      assert.equal(status, 502)
      assert.ok(code === 'worker_unreachable' || code === 'bad_worker_response', code)
      await others(router)
      await assertBooks(router, { ends: { completed: 2 * warmUp, [code]: 1 }, workers: workersCount })
    })

    test(`closing its connection ${name}`, { timeout: 30_000 }, async (t) => {
      const { router, workers } = await start(t, () => closes(before))
      await warm(router)
      const { status, code } = await poison(router, stream)
      const deaths = workers.flatMap(({ requests }) => requests.filter((request) => request.header(marker)))
      t.diagnostic(`${deaths.length} connections closed`)
      assert.equal(status, 502)
      // A connection that had been idle may be tried once more on the same worker: that reset is blamed on nobody.
      assert.ok(deaths.length <= 4, `${deaths.length} connections closed`)
      const hit = workers.filter(({ requests }) => requests.some((request) => request.header(marker)))
      assert.ok(hit.length <= 2, `${hit.length} workers`)
      await others(router)
      await assertBooks(router, { ends: { completed: 2 * warmUp, [code]: 1 }, workers: workersCount })
    })
  }

  const warmUp = 4 * workersCount

  async function start(
    t: Parameters<typeof routerOver>[1]['t'] & object,
    behaviour: (self: () => ScriptedWorker | undefined) => Chooser,
  ) {
    const workers: ScriptedWorker[] = []
    for (let index = 0; index < workersCount; index++) {
      workers.push(
        await startScriptedWorker(
          behaviour(() => workers[index]),
          { t },
        ),
      )
    }
    return { workers, router: await routerOver(workers, { t }) }
  }

  async function warm(router: RouterProcess): Promise<void> {
    const requests = Array.from({ length: warmUp }, () => apiRequest())
    const answers = await sendAll(requests, { port: router.apiPort, connections: 2 * workersCount })
    assert.deepEqual(tally(answers.map(({ head }) => String(head.status))), { 200: warmUp })
  }

  const others = warm

  async function poison(router: RouterProcess, stream: boolean) {
    const request = apiRequest({ stream, headers: { [marker]: '1' } })
    const { status, text } = await within(
      5000,
      rawRequest({ port: router.apiPort, ...request }).text(),
      'an answer',
    )
    return { status, code: String(JSON.parse(text).error.code) }
  }
})
