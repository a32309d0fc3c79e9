/** The rate limit: how many requests pass, and how long those that do not are told to wait. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { rateLimit } from '../../../middleware/rate-limit.ts'
import { TokenBucket } from '../../../policies/limits/token-bucket.ts'
import { errorOf, middlewareApp } from '../../support/middleware-app.ts'

/** A bucket on a clock that the test turns. */
function bucketOf(perSecond: number, burst?: number) {
  const time = { ms: 1000 }
  const options = { perSecond, now: () => time.ms }
  return { time, bucket: new TokenBucket(burst === undefined ? options : { ...options, burst }) }
}

const rates = fc.double({ min: 0.01, max: 5000, noNaN: true })

describe('the token bucket', () => {
  test("lets one second's worth pass at once, at least one, and then the rate", () => {
    for (const [rate, atOnce] of [
      [10, 10],
      [0.5, 1],
      [2.5, 2],
    ] as const) {
      const { bucket } = bucketOf(rate)
      let passed = 0
      while (bucket.take() === 0) passed++
      assert.equal(passed, atOnce, `${rate} a second`)
    }
  })

  test('never lets more pass in any span of time than the burst and the rate allow', () => {
    const gaps = fc.array(fc.double({ min: 0, max: 3000, noNaN: true }), { maxLength: 200 })
    fc.assert(
      fc.property(rates, gaps, (rate, steps) => {
        const { bucket, time } = bucketOf(rate)
        const passed: number[] = []
        for (const gap of steps) {
          time.ms += gap
          if (bucket.take() === 0) passed.push(time.ms)
        }
        const burst = Math.max(1, rate)
        for (const [from, start] of passed.entries()) {
          for (let to = from; to < passed.length; to++) {
            const allowed = burst + ((passed[to]! - start) / 1000) * rate
            assert.ok(to - from + 1 <= allowed + 1e-3, `${to - from + 1} passed, ${allowed} allowed`)
          }
        }
      }),
    )
  })

  test('says the time exactly: a moment earlier there is no token, then there is', () => {
    fc.assert(
      fc.property(rates, fc.nat(500), (rate, more) => {
        const { bucket, time } = bucketOf(rate)
        for (let taken = 0; taken <= more; taken++) bucket.take()
        const waitMs = bucket.take()
        if (waitMs === 0) return
        time.ms += waitMs * 0.99
        assert.ok(bucket.take() > 0, 'too early')
        time.ms += waitMs * 0.01
        assert.equal(bucket.take(), 0, 'in time')
      }),
    )
  })

  test('does not save up more than the burst while nobody asks', () => {
    const { bucket, time } = bucketOf(3)
    bucket.take()
    time.ms += 3_600_000
    let passed = 0
    while (bucket.take() === 0) passed++
    assert.equal(passed, 3)
  })
})

describe('the middleware', () => {
  test('answers 429 rate_limited with the time to wait, and tells the edge', async () => {
    const { bucket, time } = bucketOf(0.25)
    let limited = 0
    const app = middlewareApp([rateLimit({ limiter: bucket, onLimited: () => limited++ })])
    assert.equal((await app.fetch('/')).status, 200)
    const refused = await app.fetch('/')
    assert.equal(refused.headers.get('retry-after'), '4')
    await errorOf(refused, 429, 'rate_limited')
    assert.equal(limited, 1)
    time.ms += 4000
    assert.equal((await app.fetch('/')).status, 200)
  })

  test('takes a limiter that has to be waited for', async () => {
    const waits = [0, 1500]
    const app = middlewareApp([rateLimit({ limiter: { take: async () => waits.shift() ?? 0 } })])
    assert.equal((await app.fetch('/')).status, 200)
    const refused = await app.fetch('/')
    assert.equal(refused.headers.get('retry-after'), '2')
    await errorOf(refused, 429, 'rate_limited')
  })
})
