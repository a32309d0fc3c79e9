/** What a status means that a worker tells: in its answer, as the first event of its stream, or within it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { faultWithin, judgeAnswer, judgeFirstEvent, settleFault } from '../../../app/relay/judge.ts'
import { nobodyAvailable } from '../../../app/relay/nobody-available.ts'
import type { HeaderFields } from '../../../app/upstream/http-client.ts'
import { AppClock } from '../../support/app-clock.ts'
import { requestFor, testPool } from '../../support/pool.ts'

describe('an error that a worker reports in its stream', () => {
  const answer = { status: 200, headers: [], body: new Uint8Array() }

  for (const [status, first, within] of [
    [400, undefined, undefined],
    [404, undefined, undefined],
    [408, 'waited_too_long', 'refused_within'],
    [429, 'busy', 'refused_within'],
    [499, undefined, undefined],
    [500, 'error_event', 'reported_within'],
    [503, 'busy', 'refused_within'],
    [599, 'error_event', 'reported_within'],
  ] as const) {
    test(`with ${status} is ${first ?? 'the client’s mistake'} before any content, ${within ?? 'nothing'} within`, () => {
      const failure = judgeFirstEvent({ status, message: 'x' }, answer)
      assert.equal(failure?.details.fault, first)
      assert.equal(faultWithin(status), within)
    })
  }

  test('may say that the worker shuts down', () => {
    const message = 'cannot schedule new futures after shutdown'
    assert.equal(judgeFirstEvent({ status: 500, message }, answer)?.details.fault, 'shutting_down')
  })
})

test('a model that no worker has is not found; without a model, or with one that some have, nobody is available', () => {
  const { pool, addHealthy } = testPool({ clock: new AppClock() })
  const worker = addHealthy('http://a:1')
  worker.listModels([{ id: 'a' }])
  worker.draining = true
  assert.equal(nobodyAvailable(pool, 'b').code, 'model_not_found')
  for (const model of ['a', undefined]) assert.equal(nobodyAvailable(pool, model).code, 'no_available_worker')
  assert.match(nobodyAvailable(pool, undefined).message, /1 draining/)
})

describe('an answer', () => {
  const judged = (status: number, body = '', headers: HeaderFields = []) =>
    judgeAnswer({ status, headers, body: Buffer.from(body) })?.details

  for (const [status, fault] of [
    [200, undefined],
    [299, undefined],
    [300, 'redirect'],
    [301, 'redirect'],
    [304, undefined],
    [399, 'redirect'],
    [400, undefined],
    [407, undefined],
    [408, 'waited_too_long'],
    [409, undefined],
    [428, undefined],
    [429, 'busy'],
    [430, undefined],
    [499, undefined],
    [500, 'server_error'],
    [502, 'server_error'],
    [503, 'busy'],
    [504, 'server_error'],
    [599, 'server_error'],
  ] as const)
    test(`with ${status} is ${fault ?? 'passed on'}`, () => assert.equal(judged(status)?.fault, fault))

  test('with 500 is the client’s mistake only where its words say so', () => {
    for (const [type, fault] of [
      ['BadRequestError', undefined],
      ['NotFoundError', undefined],
      ['overloaded_error', 'server_error'],
      ['InternalServerError', 'server_error'],
    ] as const)
      assert.equal(judged(500, JSON.stringify({ error: { message: 'x', type } }))?.fault, fault, type)
  })

  test('is read up to 64 KiB', () => {
    const padded = (error: object, bytes: number) => {
      const bare = JSON.stringify({ error, pad: '' })
      return JSON.stringify({ error, pad: 'x'.repeat(bytes - bare.length) })
    }
    const mistake = { message: 'x', type: 'BadRequestError' }
    assert.equal(judged(500, padded(mistake, 65_536)), undefined)
    assert.equal(judged(500, padded(mistake, 65_537))?.fault, 'server_error')
    const ending = { message: 'cannot schedule new futures after shutdown' }
    assert.equal(judged(500, padded(ending, 65_536))?.fault, 'shutting_down')
    assert.equal(judged(500, padded(ending, 65_537))?.fault, 'server_error')
  })

  test('may say when to come again, in seconds or as a date', () => {
    const after = (value: string) => judged(503, '', [['Retry-After', value]])?.retryAfterMs ?? Number.NaN
    assert.equal(judged(503)?.retryAfterMs, 0)
    assert.deepEqual(['7', ' 7 ', '0'].map(after), [7000, 7000, 0])
    assert.deepEqual(['soon', ''].map(after), [0, 0])
    const inAMinute = after(new Date(Date.now() + 60_000).toUTCString())
    assert.ok(inAMinute > 50_000 && inAMinute <= 60_000, String(inAMinute))
    assert.equal(after(new Date(Date.now() - 60_000).toUTCString()), 0)
  })
})

test('a fault of a committed answer is the worker’s, nobody’s, or a matter of comparison', () => {
  const { pool, reports, addHealthy } = testPool({ clock: new AppClock() })
  const workers = [addHealthy('http://a:1'), addHealthy('http://b:1')]
  for (const [fault, outcomes] of [
    ['unreachable', ['failure', 'failure']],
    ['silent_at_work', ['neutral', 'neutral']],
    ['fell_silent', ['failure', 'neutral']],
  ] as const) {
    reports.outcomes.clear()
    for (let time = 0; time < 2; time++) settleFault(pool.acquire(requestFor())!, fault, fault)
    assert.deepEqual(
      workers.map((worker) => reports.outcomes.get(worker)),
      outcomes.map((outcome) => [outcome]),
      fault,
    )
    assert.ok(workers.every(({ inFlight }) => inFlight === 0))
  }
})
