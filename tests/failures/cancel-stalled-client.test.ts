/**
 * A client that has stopped reading, and whose time is up: its place, its worker's connection and its entry in the books
 * do not wait until it reads on. When it does, it is told.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Api, apiRequest, apis } from '../support/api-bodies.ts'
import { pause, within } from '../support/deadline.ts'
import { assertBooks } from '../support/failure-books.ts'
import { rawRequest } from '../support/raw-client.ts'
import { booksClosed, outcomes } from '../support/router-books.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { chunk, repeat, type Script, streamHead } from '../support/wire.ts'

/** Milliseconds that a request may take. */
const limitMs = 1000

test('the time limit ends a stream that nobody reads: its place is free at once, and it is told when it reads on', {
  timeout: 60_000,
}, async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  worker.use((request): Script | undefined => {
    const { prelude, tokens } = worker.answerTo(request)
    return request.stream
      ? [streamHead(), ...prelude.map(chunk), repeat(chunk(tokens[0]?.repeat(20) ?? ''))]
      : undefined
  })
  const streaming = apis.filter(({ streams }) => streams)
  const router = await routerOver([worker], {
    args: ['--max-concurrent-requests', String(streaming.length)],
    t,
  })
  const headers = { 'x-request-timeout-ms': String(limitMs) }
  const stalled = streaming.map((api) => {
    const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ api, stream: true, headers }) })
    return { api, exchange }
  })
  await within(5000, Promise.all(stalled.map(({ exchange }) => exchange.firstEvents(1))), 'all streams')
  for (const { exchange } of stalled) exchange.pauseReading()

  const next = rawRequest({ port: router.apiPort, ...apiRequest() })
  assert.equal((await within(limitMs + 2000, next.text(), 'a free place')).status, 200)
  const ends = { request_timeout: streaming.length, completed: 1 }
  await assertBooks(router, { ends, streams: { request_timeout: streaming.length }, workers: 1 })
  assert.deepEqual(outcomes(await booksClosed(router)), { success: 1, failure: 0, neutral: streaming.length })
  const open = worker.connections.filter(
    ({ requests, closedAt }) => requests.at(-1)?.stream && closedAt === undefined,
  )
  assert.equal(open.length, 0, 'connections to the worker left open')

  await pause(500)
  for (const { api, exchange } of stalled) {
    exchange.resume()
    const { text } = await within(20_000, exchange.text(), `the rest of ${api.name}`)
    assertTimeLimitEvent(api, text)
  }
})

function assertTimeLimitEvent(api: Api, text: string): void {
  const last = /data: (.*)\n\n$/.exec(text.slice(-2000))?.[1] ?? 'null'
  const data = JSON.parse(last)
  const error = api.dialect === 'responses' ? data.response.error : data.error
  assert.equal(error.code, 'request_timeout')
}
