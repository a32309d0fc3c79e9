/** The policies of data-parallel ranks: of the current configuration, and told what the pool's own is told. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Ranks } from '../../../app/workers/ranks.ts'
import { leastInflight } from '../../../policies/selection/least-inflight.ts'
import type { SelectionPolicy } from '../../../policies/selection/policy.ts'
import { AppClock } from '../../support/app-clock.ts'
import { requestFor, testPool } from '../../support/pool.ts'

/** A policy that takes the candidate at this place, and writes down what it is told. */
function noting(place: number, name = '', told: string[] = []): SelectionPolicy {
  return {
    reads: { session: true },
    select: (candidates) => candidates[place] ?? candidates[0]!,
    finish: (session) => told.push(`${name} finish ${session}`),
    counted: (model, bytes, tokens) => told.push(`${name} counted ${model} ${bytes} ${tokens}`),
  }
}

function ranked(createPolicy: () => SelectionPolicy, policy = noting(0)) {
  const parts = testPool({ clock: new AppClock(), policy, ranks: new Ranks(3, createPolicy) })
  parts.addHealthy('http://a:1')
  return parts
}

describe('data-parallel ranks', () => {
  test('are chosen by the policy of the new configuration, with the same requests open on each', () => {
    const { pool } = ranked(() => noting(2))
    assert.equal(pool.acquire(requestFor())?.rank, 2)
    pool.reconfigure({ policy: noting(0), createPolicy: () => noting(1) })
    const lease = pool.acquire(requestFor())
    assert.equal(lease?.rank, 1)
    lease?.settle('success')
    pool.reconfigure({ policy: noting(0), createPolicy: leastInflight })
    const next = [pool.acquire(requestFor())?.rank, pool.acquire(requestFor())?.rank]
    assert.deepEqual(next.toSorted(), [0, 1])
  })

  test('have one request less when it is over, however often that is told', () => {
    const ranks = new Ranks(2, leastInflight)
    const choose = () => ranks.choose('w', { model: undefined }, undefined)
    const [first, second] = [choose(), choose()]
    for (let time = 0; time < 2; time++) first.booking.end()
    assert.deepEqual([choose().rank, choose().rank], [first.rank, second.rank])
  })

  test('keep their policies where a new configuration does not name another', () => {
    let made = 0
    const { pool } = ranked(() => noting(++made))
    pool.acquire(requestFor())
    pool.reconfigure({ maxInFlightPerWorker: 7 })
    pool.acquire(requestFor())
    assert.equal(made, 1)
  })

  test('hear of sessions that are over, and of tokens that were counted', () => {
    const told: string[] = []
    const { pool, addHealthy } = ranked(() => noting(0, 'rank', told), noting(0, 'pool', told))
    addHealthy('http://b:1')
    pool.acquire(requestFor())
    pool.policy.finish('s')
    pool.policy.counted('m', 100, 25)
    assert.deepEqual(told, [
      'pool finish s',
      'rank finish s',
      'pool counted m 100 25',
      'rank counted m 100 25',
    ])
  })
})

test('whoever holds the policy that is told things tells the one of the current configuration', () => {
  const told: string[] = []
  const { pool } = testPool({ clock: new AppClock(), policy: noting(0, 'old', told) })
  const { policy } = pool
  pool.reconfigure({ policy: { ...noting(0, 'new', told), reads: { prompt: true } } })
  policy.finish('s')
  assert.deepEqual(told, ['new finish s'])
  assert.deepEqual(policy.reads, { prompt: true })
})
