/** When the pool looks at its workers anew, and when a request had better come again. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Worker } from '../../../app/workers/worker.ts'
import { consistentHash } from '../../../policies/selection/consistent-hash.ts'
import { leastInflight } from '../../../policies/selection/least-inflight.ts'
import { requestFor } from '../../support/pool.ts'
import { fixedBreaker, fleet, refused } from '../../support/pool-fleet.ts'

describe('what was found for one request', () => {
  test('is forgotten as soon as a worker has changed', () => {
    const { workers, reached, pool } = fleet(2)
    const [one, other] = workers
    assert.deepEqual(reached(), new Set(workers))
    const changes: [string, () => void, Set<Worker>][] = [
      ['drains', () => (one.draining = true), new Set([other])],
      ['serves again', () => (one.draining = false), new Set(workers)],
      ['is down', () => (one.health = refused), new Set([other])],
      ['is up', () => (one.health = { name: 'healthy' }), new Set(workers)],
      ['refuses the key', () => (one.keyRefused = true), new Set([other])],
      ['takes the key', () => (one.keyRefused = false), new Set(workers)],
      ['refuses work', () => one.refuse(1000), new Set([other])],
      ['has room', () => one.hasRoom(), new Set(workers)],
      ['may have nothing', () => (one.maxInFlight = 0), new Set([other])],
      ['may have something', () => (one.maxInFlight = 5), new Set(workers)],
      ['has its breaker open', () => (one.breaker = fixedBreaker('open')), new Set([other])],
      ['has none', () => (one.breaker = undefined), new Set(workers)],
      ['is gone', () => pool.remove(one), new Set([other])],
    ]
    for (const [what, change, expected] of changes) {
      change()
      assert.deepEqual(reached(), expected, what)
    }
  })

  test('is forgotten for its model when a worker has other models', () => {
    const { workers, reached } = fleet(2)
    const [one, other] = workers
    for (const worker of workers) worker.listModels([{ id: 'a' }, { id: 'b' }])
    assert.deepEqual(reached(12, requestFor('a')), new Set(workers))
    one.listModels([{ id: 'b' }, { id: 'c' }])
    assert.deepEqual(reached(12, requestFor('a')), new Set([other]))
    one.listModels([{ id: 'b' }, { id: 'c' }, { id: 'a' }])
    assert.deepEqual(reached(12, requestFor('a')), new Set(workers))
  })

  test('is forgotten when a worker has shown by its answers what it has', () => {
    const { workers, reached } = fleet(2)
    const [one, other] = workers
    one.learnModel('a', true)
    assert.deepEqual(reached(12, requestFor('a')), new Set(workers))
    one.learnModel('a', false)
    other.learnModel('a', true)
    assert.deepEqual(reached(12, requestFor('a')), new Set([other]))
    one.forgetLacking()
    assert.deepEqual(reached(12, requestFor('a')), new Set(workers))
  })

  test('does not let more requests to a worker than it may have', () => {
    const { pool, workers } = fleet(2, { maxInFlightPerWorker: 2, policy: leastInflight() })
    const leases = Array.from({ length: 4 }, () => pool.acquire(requestFor()))
    assert.deepEqual(
      workers.map(({ inFlight }) => inFlight),
      [2, 2],
    )
    assert.equal(pool.acquire(requestFor()), undefined)
    leases.at(-1)?.settle('success')
    assert.ok(pool.acquire(requestFor()))
  })

  test('is forgotten when a worker has another weight: it takes sessions over', () => {
    const { pool, workers } = fleet(2, { policy: consistentHash() })
    const sessions = Array.from({ length: 100 }, (_, at) => `session-${at}`)
    const ofFirst = () =>
      sessions.filter((session) => {
        const lease = pool.acquire({ ...requestFor(), session })
        lease?.settle('success')
        return lease?.worker === workers[0]
      }).length
    const before = ofFirst()
    workers[0].weight = 4
    const after = ofFirst()
    assert.ok(after > before + 10, `${before}, ${after}`)
  })

  test('is the same for all names that clients make up, however many there are', () => {
    const { pool, workers } = fleet(2)
    workers[0].listModels([{ id: 'a' }])
    const choice = (model?: string) => pool.acquire(requestFor(model))?.passedOver
    const madeUp = choice('made-up')
    assert.equal(choice('another'), madeUp)
    assert.notEqual(choice('a'), madeUp)
    assert.notEqual(choice(), madeUp)
  })

  test('is kept when a worker says only what it said before', () => {
    const { pool, workers } = fleet(2)
    const [one] = workers
    one.listModels([{ id: 'a' }])
    one.learnModel('lora', true)
    const choice = () => pool.acquire(requestFor('a'))?.passedOver
    const before = choice()
    one.listModels([{ id: 'a' }])
    one.keyRefused = false
    one.learnModel('lora', true)
    one.forgetLacking()
    assert.equal(choice(), before, 'the very same: nobody has looked again')
    one.learnModel('lora', false)
    assert.notEqual(choice(), before)
  })
})

describe('when to come again', () => {
  test('is when the first of the busy workers for the model may have room', () => {
    const { clock, pool, workers } = fleet(3)
    assert.equal(pool.roomAfter(undefined), undefined)
    workers[0].refuse(4000)
    workers[1].refuse(2000)
    workers[2].refuse(1000)
    workers[2].health = refused
    clock.advance(500)
    assert.equal(pool.roomAfter(undefined), 1.5)
    workers[1].listModels([{ id: 'b' }])
    assert.equal(pool.roomAfter('a'), 3.5)
  })

  test('is a second where no breaker is open', () => {
    assert.equal(fleet(1).pool.retryAfter(), 1)
  })

  test('is in a moment where a worker has not been probed yet', () => {
    const { pool, workers } = fleet(2)
    assert.equal(pool.isUnknown, true)
    workers[0].probed = true
    assert.equal(pool.isUnknown, true)
    workers[1].probed = true
    assert.equal(pool.isUnknown, false)
  })
})

describe('a new configuration', () => {
  test('gives each worker another breaker and another cap, those that come later too', () => {
    const { pool, workers, addHealthy } = fleet(2)
    const made: string[] = []
    pool.reconfigure({
      createBreaker: (url) => {
        made.push(url)
        return fixedBreaker('closed')
      },
      maxInFlightPerWorker: 1,
    })
    addHealthy('http://late:1')
    assert.deepEqual(made, ['http://w0:1', 'http://w1:1', 'http://late:1'])
    assert.equal(workers[0].breakerState.name, 'closed')
    for (let at = 0; at < 3; at++) assert.ok(pool.acquire(requestFor()))
    assert.equal(pool.acquire(requestFor()), undefined)
  })

  test('without breakers takes them away; one that names none leaves them', () => {
    const { pool, workers } = fleet(1, { createBreaker: () => fixedBreaker('half_open') })
    pool.reconfigure({ maxInFlightPerWorker: 3 })
    assert.equal(workers[0].breakerState.name, 'half_open')
    pool.reconfigure({ createBreaker: () => undefined })
    assert.equal(workers[0].breakerState.name, 'closed')
  })
})
