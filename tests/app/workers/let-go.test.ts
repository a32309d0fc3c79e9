/** When requests are let go that wait on a worker which its probes have given up. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LetGo } from '../../../app/workers/let-go.ts'
import type { UnhealthyCause, Worker } from '../../../app/workers/worker.ts'
import { AppClock } from '../../support/app-clock.ts'
import { requestFor, testPool } from '../../support/pool.ts'

function setUp(size = 3) {
  const clock = new AppClock()
  const { pool, addHealthy } = testPool({ clock })
  const letGo = new LetGo(pool, clock)
  const workers = Array.from({ length: size }, (_, at) => addHealthy(`http://w${at}:1`))
  const [worker] = workers as [Worker]
  let gone = 0
  const lease = pool.acquire(requestFor())!
  lease.onLetGo = () => {
    gone += 1
  }
  assert.equal(lease.worker, worker)
  const fall = (one: Worker, cause: UnhealthyCause) => {
    one.health = { name: 'unhealthy', reason: cause, cause }
    one.badSince ??= clock.now()
    letGo.healthChanged(one)
  }
  return { clock, workers, worker, fall, gone: () => gone, lease }
}

describe('requests on a worker', () => {
  for (const cause of ['refused', 'silent', 'stalled'] as const) {
    test(`that is ${cause} are let go within two seconds`, async () => {
      const { clock, worker, fall, gone } = setUp()
      fall(worker, cause)
      await clock.pass(1000, 100)
      assert.equal(gone(), 0)
      await clock.pass(1000, 100)
      assert.ok(gone() > 0)
    })
  }

  test('that says itself that it is not well are not: it still answers', async () => {
    const { clock, worker, fall, gone } = setUp()
    fall(worker, 'status')
    await clock.pass(60_000, 500)
    assert.equal(gone(), 0)
  })

  test('that refuses connections but still sends tokens are not', async () => {
    const { clock, worker, fall, gone } = setUp()
    fall(worker, 'refused')
    for (let token = 0; token < 60; token++) {
      worker.noteActivity()
      await clock.pass(1000, 100)
    }
    assert.equal(gone(), 0)
    await clock.pass(2500, 100)
    assert.ok(gone() > 0, 'once it is silent')
  })

  test('are not when most workers fall silent at once', async () => {
    const { clock, workers, fall, gone } = setUp()
    for (const worker of workers.slice(0, 2)) fall(worker, 'silent')
    await clock.pass(60_000, 500)
    assert.equal(gone(), 0)
  })

  test('are not when a probe finds it well in between', async () => {
    const { clock, worker, fall, gone } = setUp()
    fall(worker, 'refused')
    for (let second = 0; second < 30; second++) {
      worker.badSince = clock.now()
      await clock.pass(1000, 100)
    }
    assert.equal(gone(), 0)
  })
})

describe('the watch over a worker that has fallen', () => {
  test('ends with its requests', async () => {
    const { clock, worker, fall, lease } = setUp()
    fall(worker, 'status')
    await clock.pass(1000, 100)
    assert.equal(clock.pending, 1)
    lease.settle('neutral')
    await clock.pass(1000, 100)
    assert.equal(clock.pending, 0)
  })

  test('ends when it is well, and begins anew when it falls again', async () => {
    const { clock, worker, fall, gone } = setUp()
    fall(worker, 'status')
    worker.health = { name: 'healthy' }
    worker.badSince = undefined
    await clock.pass(1000, 100)
    assert.equal(clock.pending, 0)
    fall(worker, 'refused')
    await clock.pass(2500, 100)
    assert.ok(gone() > 0)
  })

  test('is one, however often it is told of the fall', () => {
    const { clock, worker, fall } = setUp()
    for (let time = 0; time < 3; time++) fall(worker, 'status')
    assert.equal(clock.pending, 1)
  })

  test('is none over a worker that has no requests', () => {
    const { clock, worker, fall, lease } = setUp()
    lease.settle('success')
    fall(worker, 'refused')
    assert.equal(clock.pending, 0)
  })
})

test('requests on a worker that was well a second ago stay, however long it has been silent', async () => {
  const { clock, worker, fall, gone } = setUp()
  clock.advance(60_000)
  fall(worker, 'refused')
  await clock.pass(1400, 100)
  assert.equal(gone(), 0)
  await clock.pass(700, 100)
  assert.ok(gone() > 0)
})

test('requests are let go two seconds after the last that came from their worker', async () => {
  const { clock, worker, fall, gone } = setUp()
  worker.noteActivity()
  fall(worker, 'refused')
  await clock.pass(1999, 1)
  assert.equal(gone(), 0)
  await clock.pass(1)
  assert.equal(gone(), 1)
})
