/** A committed body that is no stream of events: what ends it, and what the books say. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PlainStream } from '../../../app/relay/plain-stream.ts'
import { RequestRecord } from '../../../app/request/request-record.ts'
import { TransportError } from '../../../app/upstream/http-client.ts'
import { AppClock } from '../../support/app-clock.ts'
import { HandMadeBody } from '../../support/hand-made-body.ts'
import { requestFor, testPool } from '../../support/pool.ts'
import { PullingClient } from '../../support/pulling-client.ts'

const idleMs = 10_000

function streaming({ status = 200 } = {}) {
  const clock = new AppClock()
  const { pool, reports, addHealthy } = testPool({ clock })
  const worker = addHealthy('http://a:1')
  const lease = pool.acquire(requestFor())!
  const record = new RequestRecord('POST', '/v1/audio/speech', clock.now())
  const source = new HandMadeBody()
  const options = { source, record, lease, status, idleMs, clock, pulse: async () => undefined }
  const stream = new PlainStream(options)
  const client = new PullingClient(stream)
  const books = () => [record.endReason, ...(reports.outcomes.get(worker) ?? []), worker.inFlight]
  const isOver = () => assert.deepEqual([clock.pending, record.stop.waiting], [0, undefined])
  return { clock, worker, record, source, stream, client, books, isOver }
}

describe('a body on its way', () => {
  test('passes as it comes, and is a success at its end', async () => {
    const { source, client, books, isOver } = streaming()
    source.put('one', 'two', undefined)
    assert.equal(String(await client.read()), 'one')
    assert.equal(String(await client.read()), 'two')
    assert.deepEqual(books(), [undefined, 1])
    assert.equal(await client.read(), undefined)
    assert.deepEqual(books(), ['completed', 'success', 0])
    isOver()
  })

  test('of an error is none', async () => {
    const { source, client, books, worker } = streaming({ status: 500 })
    source.put(undefined)
    await client.read()
    assert.deepEqual(books(), ['completed', 'failure', 0])
    assert.equal(worker.lastError?.message, 'status 500')
  })

  test('that breaks breaks the client’s connection, and its worker is to blame', async () => {
    const { source, client, books, isOver } = streaming()
    source.put(new TransportError('reset', 'ECONNRESET'))
    await assert.rejects(client.read(), TransportError)
    assert.deepEqual(books(), ['worker_lost', 'failure', 0])
    assert.ok(source.cancelled)
    isOver()
  })

  test('that falls silent is given up, unless its client does not read', async () => {
    const { clock, source, client, books } = streaming()
    source.put('one')
    await client.read()
    await clock.pass(10 * idleMs, 1000)
    assert.deepEqual(books(), [undefined, 1])
    const read = client.read()
    read.catch(() => {})
    await clock.pass(idleMs + 1000, 1000)
    await assert.rejects(read, TransportError)
    assert.deepEqual(books(), ['stream_idle_timeout', 'failure', 0])
  })

  test('is ended from outside at once, although its client does not read, and counts against nobody', async () => {
    for (const reason of ['draining', 'request_timeout', 'client_closed'] as const) {
      const { source, record, books, isOver } = streaming()
      record.stop.because(reason)
      assert.deepEqual(books(), [reason, 'neutral', 0])
      assert.ok(source.cancelled)
      isOver()
    }
  })

  test('is left by its client, once', async () => {
    const { source, stream, books } = streaming()
    stream.cancel()
    stream.cancel()
    assert.deepEqual(books(), ['client_closed', 'neutral', 0])
    assert.ok(source.cancelled)
  })

  test('may be abandoned for another worker: the request goes on', async () => {
    const { source, stream, books, isOver } = streaming()
    stream.abandon()
    stream.abandon()
    assert.deepEqual(books(), [undefined, 'neutral', 0])
    assert.ok(source.cancelled)
    isOver()
  })
})
