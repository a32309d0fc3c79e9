/** How many tokens a request is taken for before it is sent. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TokenEstimates } from '../../../policies/limits/token-estimates.ts'

describe('the estimate of a prompt', () => {
  test('begins at a quarter of a token a byte, and follows what workers have counted', () => {
    const estimates = new TokenEstimates()
    assert.equal(estimates.prompt('m', 4000), 1000)
    for (let count = 0; count < 1000; count++) estimates.learn('m', 4000, 500, 10)
    assert.equal(estimates.prompt('m', 4000), 500)
    assert.equal(estimates.prompt('m', 400_000), 50_000, 'of another size, by all')
    assert.equal(estimates.prompt('other', 4000), 1000, 'of another model nothing is known')
  })

  test('tells requests of text from those with pictures by their size', () => {
    const estimates = new TokenEstimates()
    for (let count = 0; count < 200; count++) {
      estimates.learn('m', 2000, 500, 10)
      estimates.learn('m', 2_000_000, 1500, 10)
    }
    assert.equal(estimates.prompt('m', 2000), 500)
    assert.equal(estimates.prompt('m', 2_000_000), 1500)
  })

  test('forgets what is long ago', () => {
    const estimates = new TokenEstimates()
    for (let count = 0; count < 5000; count++) estimates.learn('m', 1000, 100, 10)
    for (let count = 0; count < 5000; count++) estimates.learn('m', 1000, 300, 10)
    assert.equal(estimates.prompt('m', 1000), 300)
  })
})

describe('the estimate of an answer without a bound', () => {
  test('is modest at first, and then the mean', () => {
    const estimates = new TokenEstimates()
    assert.equal(estimates.completion('m'), 256)
    for (let count = 0; count < 2000; count++) estimates.learn('m', 100, 25, count % 2 === 0 ? 100 : 300)
    assert.ok(Math.abs(estimates.completion('m') - 200) <= 2, String(estimates.completion('m')))
  })
})

test('what was written in a time follows how long answers take, and is no more than may be', () => {
  const estimates = new TokenEstimates()
  assert.equal(estimates.writtenIn('m', 1000, 300), 50, 'as long as nobody knows')
  estimates.learnPace('m', 2000, 200)
  estimates.learnPace('m', 0, 200)
  estimates.learnPace('m', 100, 0)
  assert.equal(estimates.writtenIn('m', 1000, 300), 100)
  assert.equal(estimates.writtenIn('m', 60_000, 300), 300)
})

test('names that are not known share one memory, and the number of the others is bounded', () => {
  const estimates = new TokenEstimates()
  for (let model = 0; model < 5000; model++) estimates.learn(`m${model}`, 1000, 400, 10)
  assert.equal(estimates.prompt(undefined, 1000), 400)
  assert.equal(estimates.prompt('m4999', 1000), 400)
})
