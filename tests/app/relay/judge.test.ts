/** What a status means that a worker tells: in its answer, as the first event of its stream, or within it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { faultWithin, judgeFirstEvent } from '../../../app/relay/judge.ts'
import { nobodyAvailable } from '../../../app/relay/nobody-available.ts'
import { AppClock } from '../../support/app-clock.ts'
import { testPool } from '../../support/pool.ts'

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
