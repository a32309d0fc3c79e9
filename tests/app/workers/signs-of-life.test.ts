/** Which worker is doubted, long before it is proved that nothing moves in it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FleetSigns, SignsOfLife } from '../../../app/workers/signs-of-life.ts'
import { AppClock } from '../../support/app-clock.ts'

/** Two workers, whose requests usually take so long to show life. */
function setUp({ usualMs = 50 } = {}) {
  const clock = new AppClock()
  const fleet = new FleetSigns()
  const [quiet, other] = [0, 1].map(() => new SignsOfLife(() => clock.now(), fleet)) as [
    SignsOfLife,
    SignsOfLife,
  ]
  const serve = (worker: SignsOfLife, ms = usualMs) => {
    const sentAt = worker.sent('stream')
    clock.advance(ms)
    worker.first('stream', sentAt)
  }
  for (let request = 0; request < 10; request++) for (const worker of [quiet, other]) serve(worker)
  return { clock, quiet, other, serve }
}

describe('a worker with a request that shows no life', () => {
  test('is doubted after half a second, when others answer', () => {
    const { clock, quiet, other, serve } = setUp()
    quiet.sent('stream')
    serve(other)
    clock.advance(440)
    assert.ok(!quiet.doubtful)
    clock.advance(20)
    assert.ok(quiet.doubtful)
  })

  test('is doubted after a fifth of a second with several such requests', () => {
    const { clock, quiet, other, serve } = setUp()
    quiet.sent('stream')
    quiet.sent('stream')
    serve(other)
    clock.advance(140)
    assert.ok(!quiet.doubtful)
    clock.advance(20)
    assert.ok(quiet.doubtful)
  })

  test('is not doubted before four times its usual time', () => {
    const { clock, quiet, other, serve } = setUp({ usualMs: 1000 })
    quiet.sent('stream')
    serve(other)
    clock.advance(2990)
    assert.ok(!quiet.doubtful)
    clock.advance(20)
    assert.ok(quiet.doubtful)
  })

  test('is not doubted when nobody answers', () => {
    const { clock, quiet } = setUp()
    quiet.sent('stream')
    clock.advance(60_000)
    assert.ok(!quiet.doubtful)
  })

  test('is not doubted while its other requests show life', () => {
    const { clock, quiet, other, serve } = setUp()
    quiet.sent('stream')
    for (let token = 0; token < 50; token++) {
      serve(other)
      clock.advance(50)
      quiet.heard(clock.now())
      assert.ok(!quiet.doubtful)
    }
  })

  test('is trusted again with the first sign', () => {
    const { clock, quiet, other, serve } = setUp()
    const sentAt = quiet.sent('stream')
    serve(other)
    clock.advance(5000)
    assert.ok(quiet.doubtful)
    quiet.first('stream', sentAt)
    assert.ok(!quiet.doubtful)
  })

  test('stays doubted for a while when its clients have given up, longer each time', () => {
    const { clock, quiet, other, serve } = setUp()
    for (const doubtedMs of [5000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
      quiet.sent('plain')
      quiet.sent('stream')
      serve(other)
      clock.advance(1000)
      quiet.none('stream')
      quiet.none('plain')
      clock.advance(doubtedMs - 10)
      assert.ok(quiet.doubtful, `for ${doubtedMs} ms`)
      clock.advance(20)
      assert.ok(!quiet.doubtful, `no longer than ${doubtedMs} ms`)
    }
  })
})

test('a long plain answer is measured by other plain answers, not by streams', () => {
  const { clock, quiet, other, serve } = setUp()
  for (let request = 0; request < 5; request++) {
    const sentAt = quiet.sent('plain')
    clock.advance(8000)
    quiet.first('plain', sentAt)
  }
  quiet.sent('plain')
  serve(other)
  clock.advance(20_000)
  assert.ok(!quiet.doubtful)
})
