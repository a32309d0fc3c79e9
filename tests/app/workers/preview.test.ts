/** Where a request would go now: nothing is claimed, and what is said is what would be done. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Ranks } from '../../../app/workers/ranks.ts'
import { ToldPolicy } from '../../../app/workers/told-policy.ts'
import type { Breaker } from '../../../policies/resilience/breaker.ts'
import type { SelectionPolicy, SelectionRequest } from '../../../policies/selection/policy.ts'
import { roundRobin } from '../../../policies/selection/round-robin.ts'
import { AppClock } from '../../support/app-clock.ts'
import { requestFor, type TestPoolOptions, testPool } from '../../support/pool.ts'

function fleet(size: number, more: Partial<TestPoolOptions> = {}) {
  const kit = testPool({ clock: new AppClock(), ...more })
  return { ...kit, workers: Array.from({ length: size }, (_, at) => kit.addHealthy(`http://w${at}:1`)) }
}

const turns = () => roundRobin({ random: () => 0 })
const breakerThat = (allows: boolean): Breaker =>
  ({
    allows: () => allows,
    state: allows ? { name: 'closed' } : { name: 'open', until: 1e9, reason: '' },
    ...{ enter: () => ({ epoch: 0, trial: false, forced: !allows }), leave: async () => {} },
  }) as unknown as Breaker

describe('a preview', () => {
  test('names the worker that is then chosen, with why, and claims none', () => {
    const { pool, workers } = fleet(2)
    for (let time = 0; time < 3; time++) {
      const { worker, why, candidates, passedOver, rank } = pool.preview(requestFor())
      assert.deepEqual([why, candidates, passedOver, rank], ['turn', workers, [], undefined])
      assert.ok(workers.every(({ inFlight }) => inFlight === 0))
      const lease = pool.acquire(requestFor())
      assert.equal(worker, lease?.worker)
      lease?.settle('success')
    }
  })

  test('names nobody where nobody can take it', () => {
    const { pool, workers } = fleet(1)
    workers[0]!.draining = true
    const { worker, why, candidates, passedOver, rank } = pool.preview(requestFor())
    assert.deepEqual([worker, why, candidates, rank], [undefined, undefined, [], undefined])
    assert.deepEqual(passedOver, [{ worker: 'http://w0:1', reason: 'draining' }])
  })

  test('names nobody where the policy cannot tell, and no reason', () => {
    const policy: SelectionPolicy = { why: 'load', select: (candidates) => candidates[0]! }
    const { pool, workers } = fleet(1, { policy })
    const { worker, why, candidates } = pool.preview(requestFor())
    assert.deepEqual([worker, why, candidates], [undefined, undefined, workers])
  })

  test('gives a policy without a reason the word for its own', () => {
    const first: SelectionPolicy['select'] = (candidates) => candidates[0]!
    const { pool } = fleet(1, { policy: { select: first, preview: first } })
    assert.equal(pool.preview(requestFor()).why, 'custom')
  })

  test('passes over those whose breaker is open, but not the only one there is', () => {
    const two = fleet(2, { createBreaker: () => breakerThat(true) })
    two.workers[0]!.breaker = breakerThat(false)
    const seen = two.pool.preview(requestFor())
    assert.deepEqual(seen.candidates, [two.workers[1]])
    assert.deepEqual(seen.passedOver, [{ worker: 'http://w0:1', reason: 'breaker_open' }])
    const one = fleet(1, { createBreaker: () => breakerThat(false) })
    const { worker, passedOver } = one.pool.preview(requestFor())
    assert.deepEqual([worker, passedOver], [one.workers[0], []])
  })

  test('tells a policy of the session only where it asks for that', () => {
    for (const reads of [undefined, { session: true }]) {
      const asked: SelectionRequest[] = []
      const policy: SelectionPolicy = {
        ...(reads && { reads }),
        select: (candidates) => candidates[0]!,
        preview: (candidates, request) => {
          asked.push(request)
          return candidates[0]
        },
      }
      const { pool } = fleet(1, { policy })
      pool.preview({ ...requestFor(), session: 's' })
      assert.deepEqual([asked.length, asked[0]?.session], [1, reads && 's'])
    }
  })

  test('names the rank behind the worker’s address', () => {
    const { pool } = fleet(1, { ranks: new Ranks(2, turns) })
    for (let time = 0; time < 3; time++) {
      const { rank } = pool.preview(requestFor())
      const lease = pool.acquire(requestFor())
      assert.equal(rank, lease?.rank)
      assert.equal(rank, time % 2)
    }
  })
})

test('a worker that drains is asked for what only it has, where its breaker lets it', () => {
  for (const allows of [true, false]) {
    const { pool, workers } = fleet(1, { createBreaker: () => breakerThat(allows) })
    workers[0]!.draining = true
    assert.equal(pool.claim(workers[0]!, requestFor()) !== undefined, allows)
  }
})

test('the policy of the moment is told of tokens and of the end of sessions, and so are those of the ranks', () => {
  const told: string[] = []
  const telling = (name: string): SelectionPolicy => ({
    select: (candidates) => candidates[0]!,
    reads: { session: true },
    counted: (model, bytes, tokens) => void told.push(`${name} ${model} ${bytes} ${tokens}`),
    finish: (session) => void told.push(`${name} ${session}`),
  })
  const ranks = new Ranks(1, () => telling('rank'))
  ranks.choose('w', { model: undefined }, undefined)
  let current = telling('first')
  const policy = new ToldPolicy(() => current, ranks)
  policy.counted('m', 30, 10)
  current = telling('second')
  policy.finish('s')
  assert.deepEqual(told, ['first m 30 10', 'rank m 30 10', 'second s', 'rank s'])
  assert.deepEqual(policy.reads, { session: true })
  new ToldPolicy(() => ({ select: (candidates) => candidates[0]! }), undefined).finish('s')
})
