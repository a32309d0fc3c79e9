/** A worker that has just come back is not buried, whatever the policy would like to send it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Lease } from '../../../app/workers/lease.ts'
import type { Worker } from '../../../app/workers/worker.ts'
import { leastInflight } from '../../../policies/selection/least-inflight.ts'
import { AppClock } from '../../support/app-clock.ts'
import { requestFor, testPool } from '../../support/pool.ts'

/** Three workers with load and a fourth without any; the policy sends everything to the fourth. */
function setUp({ selectionsBefore = 300 } = {}) {
  const clock = new AppClock()
  const { pool, addHealthy } = testPool({ clock, policy: leastInflight() })
  for (let at = 0; at < 3; at++) addHealthy(`http://w${at}:1`)
  for (let i = 0; i < selectionsBefore; i++) pool.acquire(requestFor())
  const fresh = addHealthy('http://fresh:1')
  pool.startSlowly(fresh)
  const give = (requests: number) => {
    const before = fresh.inFlight
    for (let i = 0; i < requests; i++) pool.acquire(requestFor())
    return fresh.inFlight - before
  }
  return { clock, pool, fresh, give }
}

test('for its first seconds it gets no more than its share', () => {
  const { clock, give } = setUp()
  assert.equal(give(1), 1, 'and that from the start')
  assert.equal(give(3), 0)
  assert.equal(give(36), 9)
  clock.advance(9999)
  assert.equal(give(40), 10)
})

test('after ten seconds it gets what the policy likes', () => {
  const { clock, give } = setUp()
  give(40)
  clock.advance(10_000)
  assert.equal(give(40), 40)
})

test('it gets everything when there is nobody else', () => {
  const { pool, fresh, give } = setUp()
  for (const worker of pool.workers) if (worker !== fresh) worker.draining = true
  assert.equal(give(20), 20)
})

test('its share grows as the others leave', () => {
  const { pool, give } = setUp()
  give(40)
  for (const worker of pool.workers.slice(0, 2)) worker.draining = true
  const share = give(100)
  assert.ok(share >= 50 && share <= 65, String(share))
})

test('a worker of a router that has just started is not held back', () => {
  const clock = new AppClock()
  const { pool, addHealthy } = testPool({ clock, policy: leastInflight() })
  const first = addHealthy('http://first:1')
  const second = addHealthy('http://second:1')
  for (let i = 0; i < 50; i++) second.take({} as Lease, 'plain')
  for (const worker of [first, second] as Worker[]) pool.startSlowly(worker)
  for (let i = 0; i < 20; i++) pool.acquire(requestFor())
  assert.equal(first.inFlight, 20)
})
