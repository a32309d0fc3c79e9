/** When requests in flight prove that an engine hangs. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { heartbeat, ProgressWatch } from '../../../app/workers/progress.ts'

const graceMs = 15_000
const counted = (tokens: number) => `\nvllm:generation_tokens_total ${tokens}\n`

function watching() {
  const clock = { now: 0 }
  const watch = new ProgressWatch(
    () => graceMs,
    () => clock.now,
  )
  const look = (at: number, metrics: string, quietSince = 0): boolean => {
    clock.now = at
    return watch.isStalled(metrics, quietSince)
  }
  return { clock, watch, look }
}

test('the first look proves nothing; the second one, with the same count, since when nothing has come', () => {
  const { look } = watching()
  assert.equal(look(100_000, counted(5), 90_000), false)
  assert.equal(look(104_999, counted(5), 90_000), false)
  assert.equal(look(105_000, counted(5), 90_000), true)
})

test('a count that moves is progress, from that look on', () => {
  const { look } = watching()
  assert.equal(look(0, counted(5)), false)
  assert.equal(look(20_000, counted(6)), false)
  assert.equal(look(34_999, counted(6)), false)
  assert.equal(look(35_000, counted(6)), true)
  assert.equal(look(36_000, counted(7)), false)
})

test('after a rest, or a look that told nothing, the next look is a first one again', () => {
  const { clock, watch, look } = watching()
  look(0, counted(5))
  clock.now = 1000
  watch.rest()
  assert.equal(look(60_000, counted(5), 2000), false)
  assert.equal(look(60_001, counted(5), 2000), true)
  assert.equal(look(61_000, 'up 1'), false)
  assert.equal(look(90_000, counted(5), 2000), false)
})

test('any of the counters is a heartbeat, and none of them no number', () => {
  assert.equal(heartbeat(`${counted(5)}vllm:iteration_tokens_total_count 3\n`), 8)
  assert.equal(heartbeat(counted(0)), 0)
  assert.equal(heartbeat('up 1'), undefined)
})
