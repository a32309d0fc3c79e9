/** An answer that is long in coming: what keeps its client's connection alive, and how it is told late. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Answer } from '../../../app/relay/exchange.ts'
import { LongHold } from '../../../app/relay/long-hold.ts'
import { RequestRecord } from '../../../app/request/request-record.ts'
import type { ByteSink, ByteSource } from '../../../app/upstream/http-client.ts'
import { RouterError } from '../../../http/errors.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { within } from '../../support/deadline.ts'
import { HandMadeBody } from '../../support/hand-made-body.ts'
import { PullingClient } from '../../support/pulling-client.ts'

const afterMs = 25_000
const waiting = ': waiting for the first token\n\n'
const whole = (text: string, more: Partial<Answer> = {}): Answer => ({
  status: 200,
  headers: [],
  body: Buffer.from(text),
  ...more,
})

function holding() {
  const clock = new AppClock()
  clock.advance(1000)
  const record = new RequestRecord('POST', '/v1/chat/completions', clock.now())
  const stream = { dialect: 'openai' as const, endMarker: true, choices: 1, record }
  const hold = new LongHold({ stream, afterMs, clock })
  const coming = Promise.withResolvers<Answer>()
  const answer = hold.race(coming.promise)
  answer.catch(() => {})
  let given: Answer | undefined
  void answer.then(
    (one) => (given = one),
    () => {},
  )
  const client = new PullingClient(hold)
  const read = async () => {
    const bytes = await within(2000, client.read(), 'a piece')
    return bytes === undefined ? undefined : Buffer.from(bytes).toString()
  }
  return { clock, record, hold, coming, answer, read, given: () => given }
}

/** The same when its head has gone out. */
async function out() {
  const all = holding()
  await all.clock.pass(afterMs)
  assert.equal(await all.read(), waiting)
  return all
}

/** Notes how it is asked. */
class NotedSource implements ByteSource {
  readonly calls: string[] = []
  flow(sink: ByteSink): void {
    this.calls.push('flow')
    sink.write(Buffer.from('data: 1\n\n'))
  }
  resume(): void {
    this.calls.push('resume')
  }
  cancel(): void {
    this.calls.push('cancel')
  }
}

test('a late stream is told once to flow, and then only that its client takes more', async () => {
  const { hold, coming, clock } = holding()
  await clock.pass(afterMs)
  hold.flow({ write: () => true, end() {}, fail() {} })
  const body = new NotedSource()
  coming.resolve(whole('', { body, isEventStream: true }))
  await settled()
  hold.resume()
  hold.cancel()
  assert.deepEqual(body.calls, ['flow', 'resume', 'cancel'])
})

describe('an answer that comes in time', () => {
  test('is passed on as it is, and nothing is left that waits', async () => {
    const { clock, coming, answer } = holding()
    await clock.pass(afterMs - 1)
    const came = whole('{}')
    coming.resolve(came)
    assert.equal(await within(2000, answer, 'the answer'), came)
    assert.equal(clock.pending, 0)
  })

  test('has no comment of its worker ahead of it any more', async () => {
    const { clock, hold, coming, answer } = holding()
    await clock.pass(1000)
    coming.resolve(whole('{}'))
    await within(2000, answer, 'the answer')
    hold.passComment(Buffer.from(': alive\n\n'))
    assert.equal(clock.pending, 0)
  })

  test('or an error that does', async () => {
    const { coming, answer, clock } = holding()
    coming.reject(new RouterError('no_available_worker', 'nobody'))
    await assert.rejects(answer, /nobody/)
    assert.equal(clock.pending, 0)
  })
})

describe('an answer that is long in coming', () => {
  test('has its head and a comment sent, and another every fifteen seconds', async () => {
    const { clock, read, given } = await out()
    assert.deepEqual([given()?.status, given()?.isEventStream], [200, true])
    for (let time = 0; time < 3; time++) {
      await clock.pass(15_000)
      assert.equal(await read(), waiting)
    }
    assert.equal(clock.pending, 1)
  })

  test('is read as it comes by a client that waits', async () => {
    const { clock, read } = await out()
    const next = read()
    await clock.pass(15_000)
    assert.equal(await next, waiting)
  })

  test('keeps no more than eight comments for a client that does not read', async () => {
    const { clock, coming, read, record } = await out()
    await clock.pass(600_000, 15_000)
    coming.resolve(whole('{"a":1}'))
    await settled()
    let comments = 0
    let text = await read()
    for (; text === waiting; text = await read()) comments += 1
    assert.equal(comments, 8)
    assert.match(text ?? '', /"a":1/)
    assert.equal(record.endReason, 'completed')
  })

  test('is let out by a comment of the worker, unless that only greets', async () => {
    const greeted = holding()
    await greeted.clock.pass(249)
    assert.equal(greeted.hold.passComment(Buffer.from(': hello\n\n')), false)
    assert.equal(greeted.given(), undefined)
    const { clock, hold, read, given } = holding()
    await clock.pass(250)
    assert.equal(hold.passComment(Buffer.from(': alive\n\n')), true)
    await settled()
    assert.equal(given()?.status, 200)
    assert.equal(clock.pending, 1, 'only the next comment')
    assert.deepEqual([await read(), await read()], [waiting, ': alive\n\n'])
    await clock.pass(15_000)
    assert.equal(await read(), waiting)
  })
})

describe('an answer that comes late', () => {
  test('goes on as the stream that it is', async () => {
    const { clock, coming, read, hold } = await out()
    const source = new HandMadeBody()
    const first = read()
    coming.resolve({ status: 200, headers: [], body: source, isEventStream: true })
    source.put('data: x\n\n')
    assert.equal(await first, 'data: x\n\n')
    assert.equal(clock.pending, 0)
    hold.cancel()
    assert.ok(source.cancelled)
  })

  test('with an error becomes an event that says so', async () => {
    for (const [answer, reason] of [
      [whole('{"error":{"message":"boom"}}', { status: 500 }), 'worker_error'],
      [whole('{"error":{"message":"boom"}}', { status: 400 }), 'worker_error'],
      [whole('data: {"error":{"message":"boom"}}\n\n', { reportsError: true }), 'worker_error'],
    ] as const) {
      const { coming, read, record } = await out()
      coming.resolve(answer)
      assert.match((await read()) ?? '', /^data: .*boom.*\n\n$/s)
      assert.equal(await read(), undefined)
      assert.equal(record.endReason, reason)
    }
  })

  test('and is no stream of events cannot be told in events', async () => {
    const { coming, read, record } = await out()
    const source = new HandMadeBody()
    coming.resolve({ status: 200, headers: [], body: source })
    assert.match((await read()) ?? '', /bad_worker_response/)
    assert.equal(record.endReason, 'bad_worker_response')
    assert.ok(source.cancelled)
  })

  test('or never, is told by the router’s error', async () => {
    const { clock, coming, read, record } = await out()
    coming.reject(new RouterError('no_available_worker', 'nobody'))
    assert.match((await read()) ?? '', /nobody/)
    assert.equal(await read(), undefined)
    assert.equal(record.endReason, 'no_available_worker')
    assert.equal(clock.pending, 0)
  })
})

test('a client that leaves while nothing has come ends its request', async () => {
  const { hold, record } = await out()
  hold.cancel()
  assert.equal(record.stop.reason, 'client_closed')
})
