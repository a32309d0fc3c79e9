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

describe('the moment at which a worker is doubted', () => {
  test('is half a second after its last sign when others answer, not a moment earlier or later', () => {
    const { clock, quiet, other, serve } = setUp()
    quiet.sent('stream')
    serve(other)
    clock.advance(449)
    assert.ok(!quiet.doubtful)
    clock.advance(1)
    assert.ok(quiet.doubtful)
  })

  test('follows its usual time, of which the newest request is a tenth', () => {
    const { clock, quiet, other, serve } = setUp()
    serve(quiet, 10_050)
    quiet.sent('stream')
    serve(other)
    // 4 times (50 ms + a tenth of 10 s).
    clock.advance(4199 - 50)
    assert.ok(!quiet.doubtful)
    clock.advance(1)
    assert.ok(quiet.doubtful)
  })

  test('follows what is usual in the fleet, for a worker that has not answered yet', () => {
    const clock = new AppClock()
    const fleet = new FleetSigns()
    const [fresh, other] = [0, 1].map(() => new SignsOfLife(() => clock.now(), fleet))
    fresh?.sent('stream')
    const sentAt = other!.sent('stream')
    clock.advance(1000)
    assert.equal(other?.first('stream', sentAt), 1000)
    assert.ok(!fresh?.doubtful)
    clock.advance(2999)
    assert.ok(!fresh?.doubtful)
    clock.advance(1)
    assert.ok(fresh?.doubtful)
  })

  test('comes for a worker with a stream and a plain request, both of which wait', () => {
    const { clock, quiet, other, serve } = setUp()
    quiet.sent('plain')
    quiet.sent('stream')
    serve(other)
    clock.advance(450)
    assert.ok(quiet.doubtful)
  })

  test('comes for plain requests as for streams', () => {
    const { clock, quiet, other, serve } = setUp()
    const sentAt = quiet.sent('plain')
    clock.advance(50)
    quiet.first('plain', sentAt)
    quiet.sent('plain')
    serve(other)
    clock.advance(450)
    assert.ok(quiet.doubtful)
  })
})

describe('a worker whose clients gave up', () => {
  test('is not doubted for that when it had not been quiet for long', () => {
    const { clock, quiet, other, serve } = setUp()
    quiet.sent('stream')
    serve(other)
    quiet.none('stream')
    assert.ok(!quiet.doubtful)
    clock.advance(1000)
    assert.ok(!quiet.doubtful)
    assert.equal(quiet.waiting, 0)
  })

  test('is trusted at once with its next sign, and has its first doubt before it again', () => {
    const { clock, quiet, other, serve } = setUp()
    for (let round = 0; round < 2; round++) {
      const answered = quiet.sent('stream')
      quiet.sent('stream')
      serve(other)
      clock.advance(1000)
      quiet.none('stream')
      assert.ok(quiet.doubtful)
      quiet.first('stream', answered)
      assert.ok(!quiet.doubtful)
    }
    quiet.sent('stream')
    serve(other)
    clock.advance(5000)
    quiet.none('stream')
    clock.advance(4999)
    assert.ok(quiet.doubtful)
    clock.advance(1)
    assert.ok(!quiet.doubtful, 'five seconds, as at the first time')
  })
})

test('requests that wait are counted, and since when there has been no sign is known', () => {
  const { clock, quiet } = setUp()
  const start = clock.now()
  assert.deepEqual([quiet.waiting, quiet.quietSince], [0, start])
  clock.advance(100)
  assert.equal(quiet.quietSince, start + 100, 'nobody waits')
  const first = quiet.sent('stream')
  clock.advance(100)
  quiet.sent('stream')
  quiet.sent('plain')
  assert.deepEqual([quiet.waiting, quiet.quietSince], [3, start + 100])
  clock.advance(100)
  quiet.heard(clock.now())
  assert.equal(quiet.quietSince, start + 300)
  clock.advance(100)
  quiet.first('stream', first)
  assert.deepEqual([quiet.waiting, quiet.quietSince, quiet.heardAt], [2, start + 400, start + 400])
})

test('a worker on which nobody waits, and that nobody doubts, costs no look at the clock', () => {
  let looks = 0
  const signs = new SignsOfLife(() => {
    looks += 1
    return 0
  }, new FleetSigns())
  for (let choice = 0; choice < 10; choice++) assert.ok(!signs.doubtful)
  assert.equal(looks, 0)
})
