/**
 * Whatever bytes a worker sends, looking at them comes to an end: a loop without one would stop the router for everybody.
 * It runs in a thread of its own, because nothing else could end it. The name of this file puts it before the other tests
 * of the same functions.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { within } from '../../support/deadline.ts'

test('events, their meaning and their usage are found in any bytes within a moment', {
  timeout: 30_000,
}, async (t) => {
  const thread = new Worker(new URL('../../support/scanning-thread.ts', import.meta.url), { execArgv: [] })
  t.after(() => thread.terminate())
  const told = new Promise<unknown>((resolve, reject) => {
    thread.once('message', resolve)
    thread.once('error', reject)
  })
  const looked = await within(10_000, told, 'an end of all looks').catch((error: unknown) => String(error))
  assert.ok(typeof looked === 'number' && looked > 100, String(looked))
})
