/** Who comes into question for a request, and who was passed over and why. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { SelectionPolicy, SelectionRequest } from '../../../policies/selection/policy.ts'
import { requestFor } from '../../support/pool.ts'
import { fixedBreaker, fleet, refused } from '../../support/pool-fleet.ts'

describe('a choice tells how many could be chosen, and why the others could not', () => {
  test('on the first attempt', () => {
    const { pool, workers } = fleet(3)
    workers[0].draining = true
    workers[1].refuse(1000)
    const lease = pool.acquire(requestFor())
    assert.equal(lease?.worker, workers[2])
    assert.equal(lease?.candidates, 1)
    assert.deepEqual(lease?.passedOver, [
      { worker: 'http://w0:1', reason: 'draining' },
      { worker: 'http://w1:1', reason: 'busy' },
    ])
  })

  test('on a further attempt', () => {
    const { pool, workers } = fleet(3)
    workers[1].breaker = fixedBreaker('half_open')
    const lease = pool.acquire(requestFor(), { tried: new Set([workers[0]]) })
    assert.equal(lease?.worker, workers[2])
    assert.deepEqual(lease?.passedOver, [
      { worker: 'http://w0:1', reason: 'tried' },
      { worker: 'http://w1:1', reason: 'half_open' },
    ])
  })

  test('of busy workers only of those that were not asked', () => {
    const { pool, workers } = fleet(2)
    workers[0].refuse(1000)
    workers[1].refuse(2000)
    const lease = pool.acquire(requestFor())
    assert.equal(lease?.worker, workers[0], 'the one that has room first')
    assert.deepEqual(lease?.passedOver, [{ worker: 'http://w1:1', reason: 'busy' }])
  })
})

test('a further attempt that wants room is not sent to a busy worker', () => {
  const { pool, workers } = fleet(2)
  workers[1].refuse(1000)
  const tried = new Set([workers[0]])
  assert.equal(pool.acquire(requestFor(), { tried, withRoom: true }), undefined)
  assert.equal(pool.acquire(requestFor(), { tried })?.worker, workers[1])
})

describe('the only worker whose breaker forbids requests', () => {
  test('is asked, once per request', () => {
    const { pool, workers } = fleet(2)
    workers[0].breaker = fixedBreaker('open')
    workers[1].health = refused
    assert.equal(pool.acquire(requestFor())?.worker, workers[0])
    assert.equal(pool.acquire(requestFor(), { tried: new Set() }), undefined)
    assert.equal(pool.availableCount, 1)
  })

  test('is one too many when there is another', () => {
    const { pool, workers } = fleet(2)
    for (const worker of workers) worker.breaker = fixedBreaker('open')
    assert.equal(pool.acquire(requestFor()), undefined)
    assert.equal(pool.availableCount, 0)
    workers[0].breaker = fixedBreaker('closed')
    assert.equal(pool.availableCount, 1)
  })
})

describe('a worker that gives no sign of life', () => {
  /** Both usually take 50 ms; the first has had a request for a second, the other has answered one since. */
  function quiet() {
    const all = fleet(2)
    const serve = () => {
      const lease = all.pool.acquire(requestFor(undefined, { stream: true }))
      all.clock.advance(50)
      lease?.showLife()
      lease?.settle('success')
    }
    for (let at = 0; at < 20; at++) serve()
    const waiting = all.pool.acquire(requestFor(undefined, { stream: true }))!
    assert.equal(waiting.worker, all.workers[0])
    serve()
    all.clock.advance(1000)
    return { ...all, waiting, serve }
  }

  test('gets no other request while others answer, although nobody has told the pool', () => {
    const { workers, reached } = quiet()
    assert.deepEqual(reached(), new Set([workers[1]]))
    assert.equal(workers[0].lastChoice, 'no_sign_of_life')
  })

  test('is passed over with that reason, and asked when it is the only one', () => {
    const { pool, workers } = quiet()
    pool.acquire(requestFor())
    const lease = pool.acquire(requestFor())
    assert.deepEqual(lease?.passedOver, [{ worker: 'http://w0:1', reason: 'no_sign_of_life' }])
    workers[1].draining = true
    assert.equal(pool.acquire(requestFor())?.worker, workers[0])
  })

  test('is told as the last choice before any request finds it out, and is none when it answers', () => {
    const { workers, waiting, reached } = quiet()
    assert.equal(workers[0].lastChoice, 'no_sign_of_life')
    assert.equal(workers[0].quietMs, 1050)
    waiting.showLife()
    assert.equal(workers[0].lastChoice, undefined)
    assert.deepEqual(reached(), new Set(workers))
  })
})

describe('a request that is longer than some workers’ context', () => {
  const long = { ...requestFor('m'), bytes: 8 * 5000 }

  function contexts(...tokens: (number | undefined)[]) {
    const all = fleet(tokens.length)
    for (const [at, max] of tokens.entries())
      all.workers[at]?.listModels([{ id: 'm', ...(max === undefined ? {} : { max_model_len: max }) }])
    return all
  }

  test('goes to those that take it', () => {
    const { workers, reached } = contexts(4096, 8192, undefined)
    assert.deepEqual(reached(12, long), new Set(workers.slice(1)))
    assert.deepEqual(reached(12, { ...long, bytes: 8 * 4096 }), new Set(workers), 'it may just fit')
    assert.deepEqual(reached(12, requestFor('m')), new Set(workers), 'nobody has told how long it is')
  })

  test('goes to everybody where it fits nowhere, or may be mostly pictures', () => {
    const { workers, reached } = contexts(1024, 2048)
    assert.deepEqual(reached(12, long), new Set(workers))
    assert.deepEqual(reached(12, { ...long, bytes: 8 * 1500 }), new Set([workers[1]]))
    assert.deepEqual(reached(12, { ...long, bytes: 8 * 1500, hasMedia: true }), new Set(workers))
  })

  test('goes to everybody where the model is nobody’s', () => {
    const { workers, reached } = contexts(1024, 2048)
    assert.deepEqual(reached(12, { ...long, model: undefined }), new Set(workers))
  })
})

describe('what a policy is told of a request', () => {
  function asked(reads?: SelectionPolicy['reads']) {
    const seen: SelectionRequest[] = []
    const policy: SelectionPolicy = {
      ...(reads === undefined ? {} : { reads }),
      select(candidates, request) {
        seen.push(request)
        return candidates[0]!
      },
    }
    return { seen, ...fleet(2, { policy }) }
  }

  test('is the model where it is certain that a worker has it, and whether it is a further attempt', () => {
    const { seen, pool, workers } = asked()
    workers[0].listModels([{ id: 'a' }])
    for (const model of ['a', 'made-up', undefined]) pool.acquire(requestFor(model))
    pool.acquire(requestFor('a'), {})
    assert.deepEqual(seen, [
      { model: 'a', again: false },
      { model: undefined, again: false },
      { model: undefined, again: false },
      { model: 'a', again: true },
    ])
  })

  test('is more where it reads more', () => {
    const { seen, pool } = asked({ session: true })
    pool.acquire({ ...requestFor(undefined, { stream: true }), session: 'alice' })
    assert.deepEqual(seen, [
      { model: undefined, again: false, stream: true, prompt: undefined, session: 'alice' },
    ])
  })
})
