/** Round robin is exactly even, whoever comes and goes in between. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Candidate } from '../../../policies/selection/policy.ts'
import { roundRobin } from '../../../policies/selection/round-robin.ts'
import { candidates, tally } from '../../support/candidates.ts'

const everyone = candidates(7)
const available = fc.subarray(everyone, { minLength: 1 })

test('serves the workers in order of registration, from the first', () => {
  const policy = roundRobin({ random: () => 0 })
  const list = candidates(3)
  const order = Array.from({ length: 7 }, () => policy.select(list, { model: undefined }).ordinal)
  assert.deepEqual(order, [0, 1, 2, 0, 1, 2, 0])
})

test('while the set of workers is the same, no two counts of any window differ by more than one', () => {
  const phase = fc.record({ list: available, requests: fc.integer({ min: 1, max: 25 }) })
  fc.assert(
    fc.property(fc.array(phase, { minLength: 1, maxLength: 8 }), fc.nat(), fc.nat(), (phases, from, to) => {
      const policy = roundRobin({ random: () => 0 })
      for (const { list, requests } of phases) {
        const chosen = Array.from({ length: requests }, () => policy.select(list, { model: undefined }))
        const edges = [from % (requests + 1), to % (requests + 1)].sort((a, b) => a - b)
        for (const window of [chosen, chosen.slice(...edges)]) {
          const counts = tally(list, window)
          assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${counts}`)
        }
      }
    }),
  )
})

test('a worker that comes or goes makes nobody skipped and nobody served twice', () => {
  fc.assert(
    fc.property(fc.array(available, { minLength: 2, maxLength: 60 }), (history) => {
      const policy = roundRobin({ random: () => 0 })
      const turns = history.map((list) => ({ list, chosen: policy.select(list, { model: undefined }) }))
      for (const worker of everyone) {
        for (const round of roundsOf(worker, turns)) {
          for (const other of everyone) {
            const served = round.filter(({ chosen }) => chosen === other).length
            assert.ok(served <= 1, `${other.id} was served twice while ${worker.id} waited`)
            if (other !== worker && round.every(({ list }) => list.includes(other))) {
              assert.equal(served, 1, `${other.id} was skipped`)
            }
          }
        }
      }
    }),
    { numRuns: 300 },
  )
})

interface Turn {
  readonly list: readonly Candidate[]
  readonly chosen: Candidate
}

/** The turns from one service of the worker up to the next, where it was available all the while. */
function roundsOf(worker: Candidate, turns: readonly Turn[]): Turn[][] {
  const at = turns.flatMap(({ chosen }, index) => (chosen === worker ? [index] : []))
  return at
    .slice(1)
    .map((end, index) => turns.slice((at[index] ?? 0) + 1, end + 1))
    .filter((round) => round.every(({ list }) => list.includes(worker)))
}

test('a worker that joins is served within the first round', () => {
  const policy = roundRobin({ random: () => 0 })
  const list = candidates(4)
  for (let i = 0; i < 9; i++) policy.select(list.slice(0, 3), { model: undefined })
  const round = list.map(() => policy.select(list, { model: undefined }))
  assert.deepEqual(tally(list, round), [1, 1, 1, 1])
})

test('two models that alternate each go round all of their workers', () => {
  const policy = roundRobin({ random: () => 0 })
  const list = candidates(4)
  const a: Candidate[] = []
  const b: Candidate[] = []
  for (let i = 0; i < 40; i++) {
    a.push(policy.select(list, { model: 'a' }))
    b.push(policy.select(list, { model: 'b' }))
  }
  assert.deepEqual(tally(list, a), [10, 10, 10, 10])
  assert.deepEqual(tally(list, b), [10, 10, 10, 10])
})

test('models in any order and on any share of the fleet are each served evenly', () => {
  const models = { a: everyone.slice(0, 3), b: everyone.slice(2), c: everyone }
  const names = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 120 })
  fc.assert(
    fc.property(names, (requests) => {
      const policy = roundRobin({ random: () => 0 })
      const chosen = requests.map((model) => ({ model, worker: policy.select(models[model], { model }) }))
      for (const [model, list] of Object.entries(models)) {
        const mine = chosen.filter((one) => one.model === model).map(({ worker }) => worker)
        const counts = tally(list, mine)
        assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${model}: ${counts}`)
      }
    }),
  )
})
