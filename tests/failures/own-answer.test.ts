/** What the last worker says when all attempts have failed is the answer, and the books say how it ended. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest, apis } from '../support/api-bodies.ts'
import { within } from '../support/deadline.ts'
import { assertBooks } from '../support/failure-books.ts'
import { errorEventFirst } from '../support/faults.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { parseSse } from '../support/sse-parser.ts'

test('every worker fails with its first event: the client gets that error, and the books call it one', {
  timeout: 30_000,
}, async (t) => {
  const workers = await Promise.all([1, 2].map(() => startScriptedWorker(errorEventFirst(), { t })))
  const router = await routerOver(workers, { t })
  const streaming = apis.filter(({ streams }) => streams)
  for (const api of streaming) {
    const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ api, stream: true }) })
    const { status, text } = await within(5000, exchange.text(), `an answer of ${api.name}`)
    assert.equal(status, 200, 'as the worker said')
    assert.ok(Number((await exchange.head).header('x-router-attempts')) > 1, `${api.name} was tried again`)
    // vLLM's mark after its own error comes along where both arrived together.
    const last = parseSse(text).findLast(({ data }) => data !== '[DONE]')
    assert.match(last?.data ?? '', /"message":"EngineCore encountered an issue"/, api.name)
  }
  const ends = { worker_error: streaming.length }
  await assertBooks(router, { ends, streams: ends, workers: 2 })
})
