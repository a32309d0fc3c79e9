/** How long a worker stands back that refuses work, and what ends that. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { StandBack } from '../../../app/workers/stand-back.ts'
import { AppClock } from '../../support/app-clock.ts'

function setUp({ random = 0.5 } = {}) {
  const clock = new AppClock()
  return {
    clock,
    standBack: new StandBack(
      () => clock.now(),
      () => random,
    ),
  }
}

describe('a worker that names no pause', () => {
  test('stands back for twice as long with each refusal in a row, to five seconds', () => {
    const { clock, standBack } = setUp()
    const pauses: number[] = []
    for (let refusal = 0; refusal < 8; refusal++) {
      standBack.refused(0)
      pauses.push(standBack.remainingMs)
      clock.advance(standBack.remainingMs)
      assert.ok(standBack.known && !standBack.active)
      standBack.asked()
    }
    assert.deepEqual(pauses, [250, 500, 1000, 2000, 4000, 5000, 5000, 5000])
  })

  test('does so a fifth longer or shorter, so that routers do not come back together', () => {
    for (const [random, ms] of [
      [0, 200],
      [0.999999, 300],
    ] as const) {
      const { standBack } = setUp({ random })
      standBack.refused(0)
      assert.equal(Math.round(standBack.remainingMs), ms)
    }
  })

  test('refuses many requests at once, which count as one', () => {
    const { standBack } = setUp()
    for (let refusal = 0; refusal < 20; refusal++) standBack.refused(0)
    assert.equal(standBack.remainingMs, 250)
  })

  test('gets one request when its pause is over, and the next after another', () => {
    const { clock, standBack } = setUp()
    standBack.refused(0)
    clock.advance(250)
    assert.ok(!standBack.active)
    standBack.asked()
    assert.ok(standBack.active)
    clock.advance(250)
    assert.ok(!standBack.active)
  })

  test('begins anew after a success', () => {
    const { clock, standBack } = setUp()
    for (let refusal = 0; refusal < 3; refusal++) {
      standBack.refused(0)
      clock.advance(standBack.remainingMs)
      standBack.asked()
    }
    standBack.end()
    assert.ok(!standBack.known && !standBack.active)
    standBack.refused(0)
    assert.equal(standBack.remainingMs, 250)
  })
})

test('what the worker asks for counts, up to a minute, and the longest of several', () => {
  const { standBack } = setUp()
  standBack.refused(7000)
  assert.equal(standBack.remainingMs, 7000)
  standBack.refused(3000)
  assert.equal(standBack.remainingMs, 7000)
  standBack.refused(3_600_000)
  assert.equal(standBack.remainingMs, 60_000)
})

test('what the worker asks for makes no pause of ours longer', () => {
  const { clock, standBack } = setUp()
  for (let refusal = 0; refusal < 3; refusal++) {
    standBack.refused(1000)
    clock.advance(1000)
    standBack.asked()
  }
  standBack.refused(0)
  assert.equal(standBack.remainingMs, 500)
  standBack.refused(0)
  assert.equal(standBack.remainingMs, 500, 'sent together with the one before')
})

test('a worker that has not refused stands back for nobody', () => {
  const { clock, standBack } = setUp()
  standBack.asked()
  assert.deepEqual([standBack.known, standBack.active, standBack.remainingMs], [false, false, 0])
  standBack.refused(0)
  assert.equal(standBack.refusals, 1)
  standBack.asked()
  assert.equal(standBack.remainingMs, 250, 'asked within its pause, since there was nobody else')
  standBack.end()
  assert.equal(standBack.remainingMs, 0)
  clock.advance(1000)
  standBack.asked()
  assert.ok(!standBack.active)
})

test('a worker that has never refused costs no look at the clock', () => {
  const standBack = new StandBack(
    () => assert.fail('no pause is asked about'),
    () => 0.5,
  )
  assert.deepEqual([standBack.known, standBack.active], [false, false])
  standBack.asked()
})
