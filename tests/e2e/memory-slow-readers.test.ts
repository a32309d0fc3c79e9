/**
 * Clients that stop reading in the middle of long streams: what they do not take stays with the worker, not in the
 * router's memory, and nobody else is held up.
 */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, pause, within } from '../support/deadline.ts'
import { type DigestClient, digestRequest } from '../support/digest-client.ts'
import { assertBooks } from '../support/failure-books.ts'
import { percentile, spread } from '../support/percentile.ts'
import { residentMegabytes } from '../support/process-status.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { sized } from '../support/soak.ts'
import { chunk, completed, lastChunk, type Script, streamHead } from '../support/wire.ts'

const readers = sized(50, 12)
/** Each. The kernel's buffers on the way hold 8 to 20 MB: with less, nobody would be held back. */
const megabytes = 25
/** What the router may grow by for each of them. */
const limitMegabytes = 1.5

const event = `data: ${JSON.stringify({
  id: 'chatcmpl-long',
  object: 'chat.completion.chunk',
  choices: [{ index: 0, delta: { content: 'x'.repeat(1000) }, finish_reason: null }],
})}\n\n`
const events = Math.ceil((megabytes * 2 ** 20) / event.length)
const done = 'data: [DONE]\n\n'

test(`${readers} clients stop reading streams of ${megabytes} MB: the router grows by at most ${limitMegabytes} MB for each`, {
  timeout: 300_000,
}, async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  const sent = serveLongStreams(worker)
  const router = await routerOver([worker], { t })
  // The same streams, read: what a busy runtime takes for itself anyway is not what this is about.
  await readAll(Array.from({ length: readers }, () => longStream(router)))
  const before = residentMegabytes(router.pid)
  const sentBefore = sent()

  const slow = Array.from({ length: readers }, () => longStream(router))
  await Promise.all(slow.map((client) => client.begun.then(() => client.pause())))
  await standstill(sent)
  const held = (sent() - sentBefore) / readers / 2 ** 20
  assert.ok(held < megabytes, 'the worker was not held back')
  const grown = (residentMegabytes(router.pid) - before) / readers

  const delays = await others(router)
  t.diagnostic(
    `${grown.toFixed(2)} MB each, with ${held.toFixed(1)} MB each sent by the worker; others: ${spread(delays)} ms`,
  )
  assert.ok(grown <= limitMegabytes, `${grown.toFixed(2)} MB for each client`)
  assert.ok(percentile(delays, 0.5) < 100, `others waited ${spread(delays)} ms`)

  const leaving = slow.filter((_, index) => index % 3 === 0)
  // Connections serve one request after the other: which of them had a long one says little, how many end says it all.
  const closed = () => worker.connections.filter(({ closedAt }) => closedAt !== undefined).length
  const closedBefore = closed()
  for (const client of leaving) client.abort()
  const what = 'the end of the streams whose clients have left'
  await eventually(() => closed() - closedBefore === leaving.length, { what, withinMs: 1000 })

  const staying = slow.filter((client) => !leaving.includes(client))
  for (const client of staying) client.resume()
  await readAll(staying)
  const whole = readers + staying.length
  await assertBooks(router, {
    ends: { completed: whole + delays.length, client_closed: leaving.length },
    streams: { completed: whole, client_closed: leaving.length },
    workers: 1,
  })
})

/** Every stream is the long one; returns how many bytes of streams the kernel has taken so far. */
function serveLongStreams(worker: ScriptedWorker): () => number {
  let bytes = 0
  const piece = chunk(event)
  const script: Script = [
    streamHead(),
    async (wire) => {
      for (let index = 0; index < events && !wire.over; index++) {
        await wire.write(piece)
        bytes += event.length
      }
    },
    chunk(done),
    lastChunk,
    completed,
  ]
  worker.use((request) => (request.stream ? script : undefined))
  return () => bytes
}

function longStream(router: RouterProcess): DigestClient {
  return digestRequest({ port: router.apiPort, ...apiRequest({ stream: true }) })
}

/** Every byte arrived, in order. */
async function readAll(clients: readonly DigestClient[]): Promise<void> {
  const whole = createHash('sha1')
  for (let index = 0; index < events; index++) whole.update(event)
  const sha1 = whole.update(done).digest('hex')
  const digests = await within(200_000, Promise.all(clients.map(({ digest }) => digest)), 'all streams')
  for (const digest of digests) {
    assert.deepEqual(digest, { bytes: events * event.length + done.length, sha1, complete: true })
  }
}

/** Resolves when the worker could send nothing for half a second. */
async function standstill(sent: () => number): Promise<void> {
  let last = -1
  const stands = async (): Promise<boolean> => {
    const now = sent()
    const same = now === last
    last = now
    return same
  }
  await eventually(stands, { what: 'a worker that cannot send any more', withinMs: 60_000, everyMs: 500 })
}

/** Milliseconds that others wait for short answers meanwhile. */
async function others(router: RouterProcess): Promise<number[]> {
  const delays: number[] = []
  for (let index = 0; index < 50; index++) {
    const exchange = rawRequest({ port: router.apiPort, ...apiRequest() })
    assert.equal((await within(5000, exchange.text(), 'an answer for somebody else')).status, 200)
    delays.push((exchange.endedAt ?? Number.NaN) - exchange.sentAt)
    await pause(5)
  }
  return delays
}
