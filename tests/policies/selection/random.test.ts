/** The policy `random` gives every worker the same chance. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { random } from '../../../policies/selection/random.ts'
import { candidates, tally } from '../../support/candidates.ts'
import { seeded } from '../../support/random.ts'

test('spreads as evenly as chance does', () => {
  // Chi-square with 6 degrees of freedom: a fair draw exceeds 22.5 once in a thousand tries. Too even is wrong, too.
  const list = candidates(7)
  const draws = 7000
  for (const seed of [1, 2, 3, 4, 5]) {
    const policy = random({ random: seeded(seed) })
    const counts = tally(
      list,
      Array.from({ length: draws }, () => policy.select(list, { model: undefined })),
    )
    const expected = draws / list.length
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    assert.ok(chiSquare < 22.5 && chiSquare > 0.3, `seed ${seed}: ${counts}, chi-square ${chiSquare}`)
  }
})

test('the same worker comes twice in a row as often as chance has it', () => {
  const list = candidates(4)
  const policy = random({ random: seeded(11) })
  let last = policy.select(list, { model: undefined })
  let repeats = 0
  for (let i = 0; i < 4000; i++) {
    const next = policy.select(list, { model: undefined })
    if (next === last) repeats += 1
    last = next
  }
  assert.ok(repeats > 850 && repeats < 1150, `${repeats} of 4000`)
})

test('the ends of the range of chance are the first and the last worker', () => {
  for (const size of [1, 2, 3, 1000]) {
    const list = candidates(size)
    assert.equal(random({ random: () => 0 }).select(list, { model: undefined }), list[0])
    assert.equal(random({ random: () => 1 - 2 ** -53 }).select(list, { model: undefined }), list.at(-1))
  }
})
