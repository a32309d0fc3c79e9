/** A worker that answers a large request before it has read it, and closes at once: its answer arrives. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { within } from './support/deadline.ts'
import { assertBreakersStayedClosed, tally } from './support/failure-books.ts'
import { rawRequest } from './support/raw-client.ts'
import { routerOver } from './support/router-over.ts'
import { startScriptedWorker } from './support/scripted-worker.ts'
import { answer, reset } from './support/wire.ts'

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
