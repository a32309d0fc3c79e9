/** A worker that answers a large request before it has read it, and closes at once: its answer arrives. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { within } from '../support/deadline.ts'
import { assertBreakersStayedClosed, tally } from '../support/failure-books.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { answer, head, reset, type Script, wait } from '../support/wire.ts'

const tooLarge = answer(413, '{"error":{"message":"too large","code":413}}', { connection: 'close' })

test('413 at the head of 6 MB, then a reset: nine of ten clients get it at least, and nobody is blamed', {
  timeout: 60_000,
}, async (t) => {
  const worker = await startScriptedWorker(undefined, {
    t,
    atHead: (request) => (Number(request.header('content-length')) > 1e6 ? [...tooLarge, reset] : undefined),
  })
  const router = await routerOver([worker], { t })
  const json = { model: 'test-model', prompt: 'word '.repeat(1_200_000) }
  const answers: string[] = []
  for (let sent = 0; sent < 10; sent++) {
    const exchange = rawRequest({ port: router.apiPort, path: '/v1/completions', json })
    const { status } = await within(10_000, exchange.text(), 'an answer')
    answers.push(String(status))
  }
  const { 413: right = 0 } = tally(answers)
  assert.ok(right >= 9, JSON.stringify(tally(answers)))
  await assertBreakersStayedClosed(router)
  const small = rawRequest({ port: router.apiPort, path: '/v1/completions', json: { ...json, prompt: 'x' } })
  assert.equal((await within(5000, small.text(), 'an answer')).status, 200)
})

test('an answer that keeps the connection, in two packets: the rest of the body is not followed by another request', {
  timeout: 60_000,
}, async (t) => {
  const text = '{"error":{"message":"too large","code":413}}'
  const slowly: Script = [head(413, { 'content-length': text.length }), wait(5), text]
  const worker = await startScriptedWorker(undefined, {
    t,
    atHead: (request) => (Number(request.header('content-length')) > 1e6 ? slowly : undefined),
  })
  const router = await routerOver([worker], { t })
  const ask = (prompt: string) => {
    const json = { model: 'test-model', prompt }
    return rawRequest({ port: router.apiPort, path: '/v1/completions', json }).text()
  }
  for (let round = 0; round < 5; round++) {
    assert.equal((await within(5000, ask('word '.repeat(600_000)), 'an answer')).status, 413)
    assert.equal((await within(5000, ask('x'), "the next client's answer")).status, 200)
  }
  // A request that was read as a part of another's body would not be among them.
  assert.equal(worker.requests.filter(({ body }) => body.length < 1000).length, 5)
})

test('an interim head is no answer: the upload goes on', { timeout: 60_000 }, async (t) => {
  const worker = await startScriptedWorker(undefined, {
    t,
    atHead: (request) =>
      request.method === 'POST'
        ? ['HTTP/1.1 100 Continue\r\n\r\n', wait(1000), ...answer(200, '{}')]
        : undefined,
  })
  const router = await routerOver([worker], { t })
  const json = { model: 'test-model', prompt: 'word '.repeat(600_000) }
  const exchange = rawRequest({ port: router.apiPort, path: '/v1/completions', json })
  assert.equal((await within(10_000, exchange.text(), 'an answer')).status, 200)
  assert.equal(worker.requests.at(-1)?.body.length, JSON.stringify(json).length)
})
