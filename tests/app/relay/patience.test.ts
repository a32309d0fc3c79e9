/** How long a committed answer waits for a worker that is silent, works unseen, has said all, or is known to be dead. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Patience } from '../../../app/relay/patience.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { requestFor, testPool } from '../../support/pool.ts'

const idleMs = 60_000

function setUp({ idle = idleMs, counts = () => undefined as number | undefined } = {}) {
  const clock = new AppClock()
  const { pool, addHealthy } = testPool({ clock })
  const worker = addHealthy('http://a:1')
  const lease = pool.acquire(requestFor())!
  const given: string[] = []
  /** When the engine was asked for its counters. */
  const asked: number[] = []
  const patience = new Patience({
    lease,
    idleMs: idle,
    clock,
    pulse: async () => {
      asked.push(clock.now())
      return counts()
    },
    giveUp: (code, fault) => {
      given.push(`${code} ${fault} at ${clock.now()}`)
      patience.stop()
    },
  })
  /** The worker sends something now; then it is waited for again. */
  const token = () => patience.heard(clock.now())
  return { clock, worker, lease, patience, given, asked, token }
}

describe('a worker that falls silent', () => {
  test('is given up when it was waited for as long as the limit', async () => {
    const { clock, patience, given } = setUp()
    patience.begin()
    await clock.pass(59_999, 1000)
    assert.deepEqual(given, [])
    await clock.pass(1000, 1)
    assert.deepEqual(given, ['stream_idle_timeout fell_silent at 60000'])
    assert.equal(clock.pending, 0)
  })

  test('has all of the limit again with each token', async () => {
    const { clock, patience, given, token } = setUp()
    patience.begin()
    for (let time = 0; time < 5; time++) {
      await clock.pass(50_000, 1000)
      token()
    }
    await clock.pass(60_000, 1000)
    assert.deepEqual(given, ['stream_idle_timeout fell_silent at 310000'])
  })

  test('is not blamed for a client that does not read, and a comment is no sign of life', async () => {
    const { clock, patience, given } = setUp()
    patience.begin()
    await clock.pass(40_000, 1000)
    patience.pause()
    await clock.pass(100_000, 1000)
    assert.deepEqual(given, [])
    patience.begin()
    await clock.pass(21_000, 1000)
    assert.deepEqual(given, ['stream_idle_timeout fell_silent at 160000'])
  })

  test('is waited for without end where there is no limit', async () => {
    const { clock, patience, given } = setUp({ idle: Number.POSITIVE_INFINITY })
    patience.begin()
    assert.equal(clock.pending, 0)
    await clock.pass(10_000_000, 1_000_000)
    assert.deepEqual(given, [])
  })
})

describe('a silent worker whose engine counts on', () => {
  test('is waited for five times as long', async () => {
    let count = 0
    const { clock, patience, given } = setUp({ counts: () => count++ })
    patience.begin()
    await clock.pass(310_000, 1000)
    assert.deepEqual(given, ['stream_idle_timeout silent_at_work at 300000'])
  })

  test('is asked at half of the limit and at its end, and not after a token', async () => {
    const { clock, patience, asked, token } = setUp({ counts: () => 7 })
    patience.begin()
    await clock.pass(29_000, 1000)
    assert.deepEqual(asked, [])
    token()
    await clock.pass(29_000, 1000)
    assert.deepEqual(asked, [])
    await clock.pass(60_000, 1000)
    assert.deepEqual(asked, [59_000, 89_000])
  })

  test('is asked no more often for a client that does not read', async () => {
    const { clock, patience, asked } = setUp({ counts: () => 7 })
    patience.begin()
    await clock.pass(31_000, 1000)
    patience.pause()
    await clock.pass(200_000, 1000)
    assert.deepEqual(asked, [30_000])
  })

  test('is not given up at the limit for a count that has nothing to be compared with', async () => {
    let told = 0
    // This process was too busy to ask at half of the limit.
    const late = setUp({ counts: () => 7 })
    late.patience.begin()
    late.clock.stall(60_000)
    await late.clock.pass(1)
    assert.deepEqual(late.given, [])
    await late.clock.pass(60_000, 1000)
    assert.deepEqual(late.given, ['stream_idle_timeout fell_silent at 120001'])
    // The worker did not tell in time.
    const deaf = setUp({ counts: () => (told++ === 0 ? undefined : told) })
    deaf.patience.begin()
    await deaf.clock.pass(310_000, 1000)
    assert.deepEqual(deaf.given, ['stream_idle_timeout silent_at_work at 300000'])
  })

  test('is given up at the limit where its count stands still, or is not told', async () => {
    for (const counts of [() => 7, () => undefined]) {
      const { clock, patience, given } = setUp({ counts })
      patience.begin()
      await clock.pass(65_000, 1000)
      assert.deepEqual(given, ['stream_idle_timeout fell_silent at 60000'])
    }
  })

  test('is given up at the limit although this process was late to ask', async () => {
    const { clock, patience, given, asked } = setUp({ counts: () => 7 })
    patience.begin()
    clock.stall(45_000)
    await clock.pass(1)
    assert.deepEqual(asked, [45_000])
    await clock.pass(14_998, 1000)
    assert.deepEqual(given, [])
    await clock.pass(1)
    assert.deepEqual(given, ['stream_idle_timeout fell_silent at 60000'])
  })

  test('is not given up when it sends something while its counters are asked for', async () => {
    const { clock, patience, given, token } = setUp({ counts: () => 7 })
    patience.begin()
    await clock.pass(59_999, 1000)
    // No promise has its turn between the two.
    clock.advance(1)
    token()
    await settled()
    assert.deepEqual(given, [])
    await clock.pass(60_000, 1000)
    assert.deepEqual(given, ['stream_idle_timeout fell_silent at 120000'])
  })

  test('is given up when the count stands still in the end, as one that had worked', async () => {
    let count = 0
    const { clock, patience, given } = setUp({ counts: () => Math.min(2, count++) })
    patience.begin()
    await clock.pass(310_000, 1000)
    assert.deepEqual(given, ['stream_idle_timeout silent_at_work at 180000'])
  })
})

describe('a worker that is known to be dead', () => {
  test('has five seconds for what is on its way, however often its death is told', async () => {
    const { clock, worker, lease, patience, given } = setUp()
    patience.begin()
    await clock.pass(10_000, 1000)
    worker.badSince = 9000
    lease.onLetGo?.()
    await clock.pass(4000, 1000)
    lease.onLetGo?.()
    assert.deepEqual(given, [])
    await clock.pass(1000)
    assert.deepEqual(given, ['worker_lost lost_within at 15000'])
  })

  test('has them again with each token, and no more than the limit', async () => {
    const { clock, worker, lease, patience, given, token } = setUp()
    patience.begin()
    worker.badSince = 0
    lease.onLetGo?.()
    for (let time = 0; time < 3; time++) {
      await clock.pass(4000, 1000)
      token()
    }
    await clock.pass(6000, 500)
    assert.deepEqual(given, ['worker_lost lost_within at 17000'])
    const hasty = setUp({ idle: 2000 })
    hasty.patience.begin()
    hasty.worker.badSince = 0
    hasty.lease.onLetGo?.()
    await hasty.clock.pass(3000, 500)
    assert.deepEqual(hasty.given, ['worker_lost lost_within at 2000'])
  })

  test('is waited for as before when a probe has found it well again, although it fell again since', async () => {
    for (const badSince of [undefined, 3000]) {
      const { clock, worker, lease, patience, given } = setUp()
      patience.begin()
      worker.badSince = 0
      await clock.pass(1000)
      lease.onLetGo?.()
      worker.badSince = badSince
      await clock.pass(64_000, 1000)
      assert.deepEqual(given, [])
      await clock.pass(2000, 1000)
      assert.deepEqual(given, ['stream_idle_timeout fell_silent at 66000'])
      assert.equal(clock.pending, 0, 'it was waited for once')
    }
  })

  test('and was not, has its engine looked at again, as before', async () => {
    let count = 0
    const { clock, worker, lease, patience, given, asked } = setUp({ counts: () => count++ })
    patience.begin()
    await clock.pass(40_000, 1000)
    worker.badSince = 0
    lease.onLetGo?.()
    worker.badSince = undefined
    await clock.pass(310_000, 1000)
    assert.deepEqual(given, ['stream_idle_timeout silent_at_work at 345000'])
    assert.deepEqual(asked.slice(0, 3), [30_000, 75_000, 105_000])
  })

  test('has them whatever silence went before', async () => {
    const { clock, worker, lease, patience, given } = setUp()
    patience.begin()
    await clock.pass(3000, 1000)
    patience.pause()
    patience.begin()
    worker.badSince = 0
    lease.onLetGo?.()
    await clock.pass(6000, 500)
    assert.deepEqual(given, ['worker_lost lost_within at 8000'])
  })

  test('has them only while somebody waits for it', async () => {
    const { clock, worker, lease, patience, given } = setUp()
    patience.begin()
    await clock.pass(1000)
    patience.pause()
    worker.badSince = 0
    lease.onLetGo?.()
    await clock.pass(100_000, 1000)
    assert.deepEqual(given, [])
    patience.begin()
    await clock.pass(5000, 1000)
    assert.deepEqual(given, ['worker_lost lost_within at 106000'])
  })

  test('is not asked for its counters', async () => {
    const { clock, worker, lease, patience, asked } = setUp()
    patience.begin()
    worker.badSince = 0
    lease.onLetGo?.()
    await clock.pass(6000, 500)
    assert.deepEqual(asked, [])
  })
})

describe('an answer of which all has come', () => {
  test('has a second to end, once', async () => {
    const { clock, patience, given, asked } = setUp()
    patience.begin()
    await clock.pass(10_000, 1000)
    patience.complete()
    await clock.pass(900, 100)
    patience.complete()
    assert.deepEqual(given, [])
    await clock.pass(100)
    assert.deepEqual(given, ['stream_idle_timeout fell_silent at 11000'])
    assert.deepEqual(asked, [])
    assert.equal(clock.pending, 0)
  })

  test('has no more than the limit', async () => {
    const { clock, patience, given } = setUp({ idle: 500 })
    patience.begin()
    patience.complete()
    await clock.pass(600, 100)
    assert.deepEqual(given, ['stream_idle_timeout fell_silent at 500'])
  })
})

test('an answer that is over is waited for no longer', async () => {
  const { clock, patience, given } = setUp()
  patience.begin()
  await clock.pass(30_000, 1000)
  patience.stop()
  assert.equal(clock.pending, 0)
  await clock.pass(100_000, 1000)
  assert.deepEqual(given, [])
})
