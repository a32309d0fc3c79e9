/** When most probes fail, the probes are more likely at fault than the workers. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Health, Worker } from '../../../app/workers/worker.ts'
import { AppClock } from '../../support/app-clock.ts'
import { requestFor, testPool } from '../../support/pool.ts'

const silent: Health = { name: 'unhealthy', reason: 'no answer within 5 s', cause: 'silent' }
const refused: Health = { name: 'unhealthy', reason: 'ECONNREFUSED', cause: 'refused' }
const healthy: Health = { name: 'healthy' }

function fleet(...states: Health[]) {
  const { pool, reports, addHealthy } = testPool({ clock: new AppClock() })
  const workers = states.map((health, at) => {
    const worker = addHealthy(`http://w${at}:1`)
    worker.health = health
    return worker
  })
  /** The workers that get requests. */
  const reached = (): Worker[] => {
    const seen = new Set<Worker>()
    for (let i = 0; i < 20; i++) {
      const lease = pool.acquire(requestFor())
      if (lease !== undefined) seen.add(lease.worker)
      lease?.settle('success')
    }
    return workers.filter((worker) => seen.has(worker))
  }
  return { pool, workers, reports, reached }
}

describe('workers whose probes are merely silent', () => {
  test('serve when fewer than half of the pool pass theirs', () => {
    const { workers, reached, reports } = fleet(healthy, silent, silent)
    assert.deepEqual(reached(), workers)
    assert.deepEqual(reports.panic, [true])
    assert.ok(reports.selectedInPanic > 0)
  })

  test('serve when nobody else is left', () => {
    const { workers, reached } = fleet(silent, silent)
    assert.deepEqual(reached(), workers)
  })

  test('do not serve while half of the pool or more are well', () => {
    const { workers, reached, reports } = fleet(healthy, healthy, silent, silent)
    assert.deepEqual(reached(), workers.slice(0, 2))
    assert.deepEqual(reports.panic, [])
    assert.equal(reports.selectedInPanic, 0)
  })

  test('are the only reason to doubt the probes: workers that nobody listens on are none', () => {
    const { workers, reached, reports } = fleet(healthy, refused, refused)
    assert.deepEqual(reached(), workers.slice(0, 1))
    assert.deepEqual(reports.panic, [])
  })

  test('serve no longer when enough are well again, which is reported once', () => {
    const { workers, reached, reports } = fleet(healthy, silent, silent)
    reached()
    for (const worker of workers.slice(1, 2)) worker.health = healthy
    assert.deepEqual(reached(), workers.slice(0, 2))
    assert.deepEqual(reports.panic, [true, false])
  })
})

test('workers that refuse, fail, start, drain or are stuck never serve, however bad it is', () => {
  const states = fc.constantFrom<Health>(
    healthy,
    silent,
    refused,
    { name: 'starting' },
    { name: 'unhealthy', reason: 'status 500', cause: 'status' },
    { name: 'unhealthy', reason: 'requests make no progress', cause: 'stalled' },
  )
  fc.assert(
    fc.property(fc.array(states, { minLength: 1, maxLength: 7 }), fc.nat(6), (list, draining) => {
      const { pool, workers, reached } = fleet(...list)
      const drained = workers[draining]
      if (drained !== undefined) drained.draining = true
      const well = workers.filter(({ health }) => health.name === 'healthy').length
      const panic = list.includes(silent) && well * 2 < list.length
      const expected = workers.filter(
        (worker) => worker !== drained && (worker.health === healthy || (panic && worker.health === silent)),
      )
      assert.deepEqual(reached(), expected)
      assert.equal(pool.availableCount, expected.length)
    }),
  )
})
