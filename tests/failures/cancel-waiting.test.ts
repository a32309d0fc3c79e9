/**
 * A client that leaves before any worker has its request: in the queue, or while it still uploads. Its place is free
 * within milliseconds, and no worker ever hears of it.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { calmest } from '../support/calmest.ts'
import { eventually, pause, within } from '../support/deadline.ts'
import { assertBooks, postLines } from '../support/failure-books.ts'
import { percentile, spread } from '../support/percentile.ts'
import { openConnection, type RawExchange, rawRequest } from '../support/raw-client.ts'
import { booksClosed, outcomes } from '../support/router-books.ts'
import { routerOver } from '../support/router-over.ts'
import type { LogLine, RouterProcess } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { sized } from '../support/soak.ts'
import { hang } from '../support/wire.ts'

/** Milliseconds from the client's cut until its place is free, for 99 of 100. */
const limitMs = 20

/** Clients that wait at the same time. */
const crowd = 10

test('clients that leave the queue: their places are free at once, no worker sees their requests', {
  timeout: 120_000,
}, async (t) => {
  const worker = await startScriptedWorker([hang], { t })
  const args = ['--max-concurrent-requests', '1', '--queue-size', String(crowd)]
  const router = await routerOver([worker], { args, t })
  const occupant = ask(router, 'occupant')
  await within(5000, worker.received(1), 'the occupant at the worker')

  let cuts = 0
  let turnedAway = 0
  const { delays, lagMs } = await calmest(limitMs, t, async () => {
    const cutAt = new Map<string, number>()
    while (cutAt.size < sized(500, 100)) {
      const ids = Array.from({ length: crowd }, () => `queued-${cuts++}`)
      const waiting = ids.map((id) => [id, ask(router, id)] as const)
      await queued(router, crowd)
      const { status } = await within(1000, ask(router, `turned-away-${turnedAway++}`).head, 'the full queue')
      assert.equal(status, 429)
      for (const [index, [id, exchange]] of waiting.entries()) {
        cutAt.set(id, Date.now())
        exchange.abort({ reset: index % 2 === 1 })
        // Each by itself: in one burst the last would wait for the log lines of the first.
        await pause(2)
      }
      await linesOf(router, ids)
    }
    return delaysOf(router, cutAt)
  })
  t.diagnostic(`${delays.length} cuts in the queue, over after ${spread(delays)} ms`)
  assert.ok(
    percentile(delays, 0.99) <= limitMs + lagMs,
    `over after ${spread(delays)} ms (machine: ${lagMs} ms)`,
  )
  assert.equal(worker.requests.length, 1, 'only the occupant reached the worker')

  occupant.abort()
  await assertBooks(router, { ends: { client_closed: cuts + 1, queue_full: turnedAway }, workers: 1 })
  assert.deepEqual(outcomes(await router.metrics()), { success: 0, failure: 0, neutral: 1 })
  assert.equal(await router.metric('vllm_router_rejected_total', { reason: 'client_closed' }), cuts)
  assert.equal(await router.metric('vllm_router_queue_depth'), 0)
})

test('when the client leaves whose request runs, the next in the queue is at the worker at once', {
  timeout: 120_000,
}, async (t) => {
  const worker = await startScriptedWorker([hang], { t })
  const cuts = sized(200, 50)
  const args = ['--max-concurrent-requests', '1', '--queue-size', String(cuts)]
  const router = await routerOver([worker], { args, t })
  const { delays, lagMs } = await calmest(limitMs, t, async () => {
    const before = worker.requests.length
    const line: RawExchange[] = []
    for (let place = 0; place <= cuts; place++) {
      line.push(ask(router, `place-${place}`))
      // One after the other: the queue is first come, first served.
      if (place === 0) await within(5000, worker.received(before + 1), 'the first at the worker')
      else await queued(router, place)
    }
    const delays: number[] = []
    for (const [place, exchange] of line.entries()) {
      const cutAt = performance.now()
      exchange.abort({ reset: place % 2 === 1 })
      if (place === cuts) break
      const next = await within(5000, worker.received(before + place + 2), `place-${place + 1} at the worker`)
      assert.equal(next.header('x-request-id'), `place-${place + 1}`)
      delays.push(next.at - cutAt)
    }
    await booksClosed(router)
    return delays
  })
  t.diagnostic(`${cuts} cuts, the next request at the worker after ${spread(delays)} ms`)
  assert.ok(
    percentile(delays, 0.99) <= limitMs + lagMs,
    `the next request came after ${spread(delays)} ms (machine: ${lagMs} ms)`,
  )
  const all = worker.requests.length
  await assertBooks(router, { ends: { client_closed: all }, workers: 1 })
  assert.deepEqual(outcomes(await router.metrics()), { success: 0, failure: 0, neutral: all })
})

test('clients that leave half-way through their upload hold no slot, and no worker sees anything', {
  timeout: 120_000,
}, async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  const router = await routerOver([worker], { args: ['--max-concurrent-requests', '1'], t })
  let cuts = 0
  let others = 0
  const { delays, lagMs } = await calmest(limitMs, t, async () => {
    const cutAt = new Map<string, number>()
    while (cutAt.size < sized(500, 100)) {
      const id = `upload-${cuts}`
      cutAt.set(id, await cutUpload(router, id, cuts++))
      if (cuts % 20 !== 0) continue
      const { status } = await within(1000, ask(router, `other-${others++}`).text(), 'an answer meanwhile')
      assert.equal(status, 200)
    }
    await linesOf(router, [...cutAt.keys()])
    return delaysOf(router, cutAt)
  })
  t.diagnostic(`${delays.length} uploads cut, over after ${spread(delays)} ms`)
  assert.ok(
    percentile(delays, 0.99) <= limitMs + lagMs,
    `over after ${spread(delays)} ms (machine: ${lagMs} ms)`,
  )
  assert.equal(worker.requests.length, others, 'no upload reached the worker')
  await assertBooks(router, { ends: { client_closed: cuts, completed: others }, workers: 1 })
  assert.deepEqual(outcomes(await router.metrics()), { success: others, failure: 0, neutral: 0 })
})

/** Sends half of a body, of known length or in chunks, and leaves. Returns when that was, on the wall clock. */
async function cutUpload(router: RouterProcess, id: string, index: number): Promise<number> {
  const connection = openConnection({ port: router.apiPort })
  await within(5000, connection.opened, 'a connection')
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: r\r\nx-request-id: ${id}\r\n`
  const half = index % 2 === 0 ? 'content-length: 2000\r\n\r\n' : 'transfer-encoding: chunked\r\n\r\n7d0\r\n'
  connection.request({ bytes: `${head}${half}${'{'.padEnd(1000)}` })
  // The half is on its way to the router: nobody else can see it there.
  await pause(5)
  connection.abort({ reset: index % 4 > 1 })
  return Date.now()
}

function ask(router: RouterProcess, id: string): RawExchange {
  return rawRequest({ port: router.apiPort, ...apiRequest({ id }) })
}

async function queued(router: RouterProcess, depth: number): Promise<void> {
  const what = `${depth} requests in the queue`
  await eventually(async () => (await router.metric('vllm_router_queue_depth')) === depth, {
    what,
    everyMs: 5,
  })
}

/** The lines of the access log for these requests, in any order. */
async function linesOf(router: RouterProcess, ids: readonly string[]): Promise<LogLine[]> {
  const wanted = new Set(ids)
  return await eventually(
    () => {
      const lines = postLines(router).filter(({ request_id: id }) => wanted.has(String(id)))
      return lines.length === wanted.size && lines
    },
    { what: `the log lines of ${ids.length} requests`, everyMs: 20 },
  )
}

/** Milliseconds from each cut, on the wall clock, to the time of the request's line in the access log. */
function delaysOf(router: RouterProcess, cutAt: ReadonlyMap<string, number>): number[] {
  return postLines(router).flatMap(({ request_id: id, time }) => {
    const at = cutAt.get(String(id))
    return at === undefined ? [] : [Date.parse(String(time)) - at]
  })
}
