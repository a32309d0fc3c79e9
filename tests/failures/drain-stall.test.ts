/** A router that stood still through its settle time, as on a machine with too much to do, first serves what has come meanwhile. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, pause, within } from '../support/deadline.ts'
import { tally } from '../support/failure-books.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'

const settleMs = 1000

test('requests that came within the settle time, unread until it was over, are served', {
  timeout: 30_000,
}, async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  const router = await routerOver([worker], { t, args: ['--shutdown-settle-secs', String(settleMs / 1000)] })
  router.signal('SIGTERM')
  const readiness = () => rawRequest({ port: router.apiPort, path: '/readiness' }).text()
  await eventually(async () => (await readiness()).status === 503, { what: 'not ready' })
  router.signal('SIGSTOP')
  const exchanges = Array.from({ length: 20 }, () => rawRequest({ port: router.apiPort, ...apiRequest() }))
  await within(5000, Promise.all(exchanges.map(({ connection }) => connection.opened)), 'connections')
  await pause(settleMs + 200)
  router.signal('SIGCONT')
  const answers = await Promise.allSettled(exchanges.map((one) => within(10_000, one.text(), 'an answer')))
  const words = answers.map((one) =>
    one.status === 'fulfilled' ? String(one.value.status) : String(one.reason),
  )
  assert.deepEqual(tally(words), { 200: exchanges.length })
  assert.equal((await within(10_000, router.exited, 'the end of the router')).code, 0)
})
