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
