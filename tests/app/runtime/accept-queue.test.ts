/** Connections that the kernel has made and the listener has not taken yet are served when it stops. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { detectRuntime } from '../../../app/runtime/detect.ts'
import { within } from '../../support/deadline.ts'
import { tally } from '../../support/failure-books.ts'
import { rawRequest } from '../../support/raw-client.ts'

test('a hundred connections that wait to be accepted are served by a listener that stops accepting', {
  timeout: 20_000,
}, async (t) => {
  const { listen } = await detectRuntime()
  const listener = await listen({ host: '127.0.0.1', port: 0, fetch: () => new Response('here') })
  t.after(() => listener.close(0))
  // The kernel makes the connections while this turn of the event loop lasts; nobody can accept one before it is over.
  const exchanges = Array.from({ length: 100 }, () => rawRequest({ port: listener.port, path: '/' }))
  await new Promise((resolve) => process.nextTick(resolve))
  const stopped = listener.stopAccepting()
  const answers = await Promise.allSettled(exchanges.map((one) => within(10_000, one.text(), 'an answer')))
  const words = answers.map((one) =>
    one.status === 'fulfilled' ? String(one.value.status) : String(one.reason),
  )
  assert.deepEqual(tally(words), { 200: exchanges.length })
  await within(5000, stopped, 'no more accepting')
  const late = rawRequest({ port: listener.port, path: '/' })
  await assert.rejects(within(5000, late.text(), 'a refusal'))
})
