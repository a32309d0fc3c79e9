/** A worker that has just come back is not buried, whatever the policy would like to send it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Lease } from '../../../app/workers/lease.ts'
import { SlowStart } from '../../../app/workers/slow-start.ts'
import type { Worker } from '../../../app/workers/worker.ts'
import { selectionPolicies } from '../../../policies/selection/index.ts'
import { leastInflight } from '../../../policies/selection/least-inflight.ts'
import { AppClock } from '../../support/app-clock.ts'
import { requestFor, testPool } from '../../support/pool.ts'
import { seeded } from '../../support/random.ts'
import { selectionContext } from '../../support/selection-context.ts'

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

describe('a ninth worker joins eight that have 200 requests a second', () => {
  const perSecond = 200
  const fair = perSecond / 9

  for (const [name, create] of Object.entries(selectionPolicies)) {
    test(`${name}: its first one within five seconds, and never more than 1.5 times its share`, () => {
      const random = seeded(3)
      const clock = new AppClock()
      const policy = create(selectionContext({ random, now: () => clock.now() }))
      const { pool, addHealthy } = testPool({ clock, policy })
      for (let at = 0; at < 8; at++) addHealthy(`http://w${at}:1`)
      const run = (seconds: number): number[] => {
        const counts = Array.from({ length: seconds }, () => 0)
        for (let at = 0; at < seconds * perSecond; at++) {
          clock.advance(1000 / perSecond)
          const number = Math.floor(random() * 1e6)
          const prompt = {
            bytes: 8192,
            blocks: [number, number + 0.5],
            bytesOf: (count: number) => 4096 * count,
          }
          const lease = pool.acquire({ ...requestFor(), prompt, session: String(number) })
          if (lease?.worker.url === 'http://fresh:1') counts[Math.floor(at / perSecond)]! += 1
          clock.after(300, () => lease?.showLife())
          clock.after(1500 + 1000 * random(), () => lease?.settle('success'))
        }
        return counts
      }
      run(10)
      pool.startSlowly(addHealthy('http://fresh:1'))
      const counts = run(20)
      assert.ok(Math.max(...counts.slice(0, 5)) > 0, String(counts))
      // What chance alone puts into one of so many seconds.
      const chance = name === 'round_robin' || name === 'least_inflight' ? 1 : 4 * Math.sqrt(fair)
      assert.ok(Math.max(...counts) <= 1.5 * fair + chance, String(counts))
    })
  }
})

describe('a worker that has joined and is gone', () => {
  test('costs the choice of the others nothing', () => {
    const starts = new SlowStart(() => 0)
    const [gone, other] = [{}, {}] as [Worker, Worker]
    starts.begin(gone)
    for (let request = 0; request < 3; request++) starts.selected(gone)
    assert.deepEqual(starts.withinShare([gone, other]), [other])
    starts.forget(gone)
    const candidates = [gone, other]
    assert.equal(starts.withinShare(candidates), candidates)
  })

  test('is not held back when its time is over, and the time is forgotten', () => {
    let now = 0
    const starts = new SlowStart(() => now)
    const [fresh, other] = [{}, {}] as [Worker, Worker]
    starts.begin(fresh)
    starts.selected(fresh)
    now = 9999
    assert.deepEqual(starts.withinShare([fresh, other]), [other])
    now = 10_000
    assert.deepEqual(starts.withinShare([fresh, other]), [fresh, other])
    const candidates = [fresh, other]
    assert.equal(starts.withinShare(candidates), candidates)
  })
})
