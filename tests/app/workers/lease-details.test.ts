/** What a lease tells the worker, its breaker and the rest of the fleet. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Ranks } from '../../../app/workers/ranks.ts'
import type { Breaker } from '../../../policies/resilience/breaker.ts'
import { leastInflight } from '../../../policies/selection/least-inflight.ts'
import type { SelectionPolicy } from '../../../policies/selection/policy.ts'
import { requestFor } from '../../support/pool.ts'
import { fleet } from '../../support/pool-fleet.ts'

describe('a fault of a committed answer', () => {
  test('is a failure of the one worker that shows it', () => {
    const { pool, workers, outcomes } = fleet(2)
    pool.acquire(requestFor())?.settleCompared('broken', 'stream broke')
    pool.acquire(requestFor())?.settleCompared('silent', 'stream fell silent')
    assert.deepEqual(outcomes(), [['failure'], ['failure']])
    assert.equal(workers[0]?.lastError?.message, 'stream broke')
    assert.equal(workers[0]?.recent.view().failures, 1)
    assert.equal(workers[0]?.inFlight, 0)
  })

  test('counts against nobody from the second worker on that shows it within half a minute', () => {
    const { clock, pool, workers, outcomes } = fleet(2)
    for (let at = 0; at < 2; at++) pool.acquire(requestFor())?.settleCompared('broken', 'stream broke')
    assert.deepEqual(outcomes(), [['failure'], ['neutral']])
    assert.equal(workers[1]?.lastError, undefined)
    clock.advance(30_001)
    pool.acquire(requestFor())?.settleCompared('broken', 'stream broke')
    assert.deepEqual(outcomes()[0], ['failure', 'failure'])
  })

  test('counts against nobody where no other worker could have been asked', () => {
    const { pool, workers, outcomes } = fleet(2)
    pool.claim(workers[0]!, requestFor())?.settleCompared('broken', 'stream broke')
    assert.deepEqual(outcomes(), [['neutral'], []])
  })

  test('speaks of no worker when the verdict has fallen already', () => {
    const { pool, outcomes } = fleet(2)
    const judged = pool.acquire(requestFor())
    judged?.settle('success')
    judged?.settleCompared('broken', 'too late')
    pool.acquire(requestFor())?.settleCompared('broken', 'stream broke')
    assert.deepEqual(outcomes(), [['success'], ['failure']], 'the second one is alone with it')
  })
})

test('the breaker hears what kind of request has failed, and of no other', () => {
  const told: unknown[] = []
  const breaker = {
    allows: () => true,
    state: { name: 'closed' },
    enter: () => ({ epoch: 0, trial: false, forced: false }),
    leave: (_: unknown, outcome: string, reason: string, kind: string) => told.push([outcome, reason, kind]),
    yieldTrial: () => {},
  } as unknown as Breaker
  const { pool } = fleet(1, { createBreaker: () => breaker })
  pool.acquire(requestFor(undefined, { kind: 'long' }))?.settle('failure', 'status 500')
  pool.acquire(requestFor(undefined, { kind: 'short' }))?.settle('success')
  assert.deepEqual(told, [
    ['failure', 'status 500', 'long'],
    ['success', '', undefined],
  ])
})

describe('a first sign of life', () => {
  test('is a time to the first token only of a stream', () => {
    const { clock, pool, workers } = fleet(1)
    const plain = pool.acquire(requestFor())
    clock.advance(500)
    plain?.showLife()
    assert.equal(workers[0]?.recent.view().first_token_ms, null)
    assert.equal(workers[0]?.silentMs, 0)
    clock.advance(30)
    assert.equal(workers[0]?.silentMs, 30)
  })

  test('does not come from a request that is over', () => {
    const { clock, pool, workers } = fleet(1)
    const lease = pool.acquire(requestFor(undefined, { stream: true }))
    clock.advance(5)
    assert.equal(lease?.sentAt, 0)
    lease?.settle('neutral')
    lease?.showLife()
    assert.equal(workers[0]?.recent.view().first_token_ms, null)
    assert.equal(workers[0]?.signs.waiting, 0)
  })

  test('of a worker that has room is no news', () => {
    const { pool, reports } = fleet(1)
    pool.acquire(requestFor())?.showLife()
    assert.deepEqual(reports.busy, [])
  })
})

describe('a worker that is let go', () => {
  test('lets all its requests go, and none that is over', () => {
    const { pool, workers } = fleet(1)
    const gone: number[] = []
    const leases = [0, 1, 2].map((number) => {
      const lease = pool.acquire(requestFor())!
      lease.onLetGo = () => {
        gone.push(number)
        lease.settle('failure')
      }
      return lease
    })
    leases[1]?.settle('success')
    leases[1]!.onLetGo?.()
    workers[0]?.letGo()
    assert.deepEqual(gone, [0, 2])
    assert.equal(workers[0]?.inFlight, 0)
  })
})

test('the word of the policy for its choice goes with the lease', () => {
  const policy: SelectionPolicy = { why: 'load', select: (candidates) => candidates[0]! }
  const { pool } = fleet(2, { policy })
  const lease = pool.acquire(requestFor())
  assert.deepEqual([lease?.why, lease?.candidates, lease?.passedOver], ['load', 2, []])
})

test('data-parallel ranks have books of their own, which open and close with those of the worker', () => {
  const told: string[] = []
  const noting = (name: string, expected?: number): SelectionPolicy => ({
    select: (candidates) => candidates.at(-1)!,
    book: (candidate) => ({
      expected,
      firstToken: () => told.push(`${name} first token on ${candidate.ordinal}`),
      end: () => told.push(`${name} end on ${candidate.ordinal}`),
    }),
  })
  const { pool } = fleet(1, { policy: noting('worker'), ranks: new Ranks(2, () => noting('rank')) })
  const lease = pool.acquire(requestFor())
  lease?.showLife()
  lease?.settle('success')
  assert.deepEqual(told, [
    'worker first token on 0',
    'rank first token on 1',
    'worker end on 0',
    'rank end on 1',
  ])
})

test('a worker that was started anew has data-parallel ranks with nothing in them', () => {
  let made = 0
  const ranks = new Ranks(2, () => {
    made += 1
    return leastInflight()
  })
  const { pool, workers } = fleet(1, { ranks })
  pool.acquire(requestFor())
  pool.acquire(requestFor())
  assert.equal(made, 1)
  pool.restarted(workers[0]!)
  pool.acquire(requestFor())
  assert.equal(made, 2)
})
