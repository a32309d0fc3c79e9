/** The policy `least_inflight` takes the worker with the fewest requests open, and rotates where several have as few. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { leastInflight } from '../../../policies/selection/least-inflight.ts'
import { anyCandidates, candidate, candidates, tally } from '../../support/candidates.ts'

const request = { model: undefined }

test('nobody has fewer requests open than the one chosen', () => {
  const policy = leastInflight()
  fc.assert(
    fc.property(anyCandidates(), (list) => {
      const least = Math.min(...list.map(({ inFlight }) => inFlight))
      assert.equal(policy.select(list, request).inFlight, least)
    }),
  )
})

test('those that have as few take turns, whatever was chosen before', () => {
  fc.assert(
    fc.property(anyCandidates(), anyCandidates(), fc.integer({ min: 1, max: 4 }), (past, list, rounds) => {
      const policy = leastInflight()
      policy.select(past, request)
      const least = Math.min(...list.map(({ inFlight }) => inFlight))
      const tied = list.filter(({ inFlight }) => inFlight === least)
      const chosen = Array.from({ length: tied.length * rounds }, () => policy.select(list, request))
      assert.deepEqual(
        tally(tied, chosen),
        tied.map(() => rounds),
      )
    }),
  )
})

test('further attempts take turns of their own', () => {
  const policy = leastInflight()
  const list = candidates(3)
  const take = (again: boolean) => policy.select(list, { ...request, again }).ordinal
  const turns = Array.from({ length: 4 }, () => [take(false), take(true)])
  assert.deepEqual(turns, [
    [0, 0],
    [1, 1],
    [2, 2],
    [0, 0],
  ])
  assert.deepEqual([take(true), take(true), take(false)], [1, 2, 1])
})

test('an idle fleet whose requests never overlap is used as a whole', () => {
  const policy = leastInflight()
  const list = candidates(5)
  const chosen = Array.from({ length: 50 }, () => policy.select(list, request))
  assert.deepEqual(tally(list, chosen), [10, 10, 10, 10, 10])
})

test('requests that come and go never pile up on one worker', () => {
  const step = fc.oneof(fc.constant('arrive' as const), fc.nat(1000))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), (steps) => {
      const policy = leastInflight()
      const list = candidates(4)
      for (const one of steps) {
        if (one === 'arrive') {
          policy.select(list, request).inFlight += 1
          continue
        }
        const busy = list.filter(({ inFlight }) => inFlight > 0)
        const ending = busy[one % Math.max(1, busy.length)]
        if (ending !== undefined) ending.inFlight -= 1
      }
      const before = list.map(({ inFlight }) => inFlight)
      for (let i = 0; i < 40 * list.length; i++) policy.select(list, request).inFlight += 1
      const after = list.map(({ inFlight }) => inFlight)
      const even = Math.max(...before) <= 40
      assert.ok(!even || Math.max(...after) - Math.min(...after) <= 1, `${before} became ${after}`)
    }),
  )
})

test('a free worker is found wherever it stands', () => {
  for (let free = 0; free < 5; free++) {
    const policy = leastInflight()
    const list = candidates(5, 3)
    list[free] = candidate(free, 2)
    for (let i = 0; i < 3; i++) assert.equal(policy.select(list, request), list[free])
  }
})
