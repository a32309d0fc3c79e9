/** What may be tried again, after how long, and how often in all. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { backoffDelays, isRetryableStatus, type RetryOptions } from '../../../policies/resilience/retry.ts'
import { RetryBudget } from '../../../policies/resilience/retry-budget.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { seeded } from '../../support/random.ts'

test('another worker may do better with 408, 429 and every 5xx, and with nothing else', () => {
  for (let status = 100; status < 600; status++) {
    assert.equal(isRetryableStatus(status), status === 408 || status === 429 || status >= 500, String(status))
  }
})

describe('pauses between rounds', () => {
  const defaults: RetryOptions = {
    maxAttempts: 3,
    initialBackoffMs: 50,
    maxBackoffMs: 2000,
    multiplier: 1.5,
    jitter: 0.2,
    random: () => 0.5,
  }
  const first = (count: number, options: Partial<RetryOptions> = {}) => {
    const next = backoffDelays({ ...defaults, ...options })
    return Array.from({ length: count }, () => next())
  }

  test('grow by the multiplier', () => {
    assert.deepEqual(first(5), [50, 75, 112.5, 168.75, 253.125])
  })

  test('grow to the longest and stay there, however many there are', () => {
    const delays = first(2000)
    assert.equal(delays[9], 50 * 1.5 ** 9)
    for (const delay of delays.slice(10)) assert.equal(delay, 2000)
  })

  test('all have the first length with the multiplier 1', () => {
    assert.deepEqual(first(3, { multiplier: 1 }), [50, 50, 50])
  })

  test('may be nothing at all', () => {
    assert.deepEqual(first(3, { initialBackoffMs: 0 }), [0, 0, 0])
  })

  test('of two requests have nothing to do with each other', () => {
    const one = backoffDelays(defaults)
    const other = backoffDelays(defaults)
    one()
    one()
    assert.equal(other(), 50)
  })

  test('vary by no more than the jitter, and are not all the same', () => {
    const options = fc.record({
      initialBackoffMs: fc.integer({ min: 1, max: 1000 }),
      maxBackoffMs: fc.integer({ min: 1, max: 10_000 }),
      multiplier: fc.double({ min: 1, max: 100, noNaN: true }),
      jitter: fc.double({ min: 0, max: 1, noNaN: true }),
      seed: fc.nat(),
    })
    fc.assert(
      fc.property(options, ({ seed, ...rest }) => {
        const delays = first(8, { ...rest, random: seeded(seed) })
        for (const [round, delay] of delays.entries()) {
          const exact = Math.min(rest.maxBackoffMs, rest.initialBackoffMs * rest.multiplier ** round)
          assert.ok(delay >= exact * (1 - rest.jitter) - 1e-6, `round ${round}: ${delay} of ${exact}`)
          assert.ok(delay <= exact * (1 + rest.jitter) + 1e-6, `round ${round}: ${delay} of ${exact}`)
        }
      }),
    )
    assert.ok(new Set(first(20, { multiplier: 1, random: seeded(3) })).size > 10)
  })
})

describe('the retry budget', () => {
  const setUp = (ratio = 0.2, minimumPerSecond = 10) => {
    const clock = new ManualClock()
    const budget = new RetryBudget({ ratio, minimumPerSecond, now: () => clock.now() })
    return { clock, budget }
  }
  const drain = (budget: RetryBudget) => {
    let retries = 0
    while (budget.withdraw()) retries += 1
    return retries
  }

  test('has its minimum for a quiet router, and no more', () => {
    const { budget } = setUp()
    assert.equal(drain(budget), 100)
    assert.equal(budget.withdraw(), false)
  })

  test('grows with the requests', () => {
    const { budget } = setUp()
    for (let i = 0; i < 1000; i++) budget.deposit()
    assert.equal(drain(budget), 300)
  })

  test('of nothing allows nothing', () => {
    const { budget } = setUp(0, 0)
    budget.deposit()
    assert.equal(drain(budget), 0)
  })

  test('of the whole traffic allows one retry a request', () => {
    const { budget } = setUp(1, 0)
    for (let i = 0; i < 7; i++) budget.deposit()
    assert.equal(drain(budget), 7)
  })

  test('is full again soon after ten seconds, and not before', () => {
    const { clock, budget } = setUp()
    for (let i = 0; i < 1000; i++) budget.deposit()
    drain(budget)
    clock.advance(9999)
    assert.equal(drain(budget), 0)
    clock.advance(1200)
    assert.equal(drain(budget), 100, 'the requests of then count no longer, either')
  })

  test('is full after a pause of eleven seconds and a bit, or of any longer one', () => {
    const longer = fc.constantFrom(0, 1, 999, 1000, 5500, 9_999_999, 2 ** 40)
    fc.assert(
      fc.property(fc.array(fc.nat(3000), { maxLength: 8 }), longer, (times, more) => {
        const { clock, budget } = setUp()
        for (const ms of times) {
          clock.advance(ms)
          for (let i = 0; i < 20; i++) budget.withdraw()
        }
        clock.advance(11_200 + more)
        assert.equal(drain(budget), 100)
      }),
    )
  })

  test('is never exceeded: within ten seconds a fifth of the requests and ten a second', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ do: fc.constant('requests' as const), count: fc.nat(200) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('retries' as const), count: fc.nat(200) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), count: fc.nat(4000) }) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const { clock, budget } = setUp()
        const requests: number[] = []
        const retries: number[] = []
        for (const { do: what, count } of steps) {
          if (what === 'wait') clock.advance(count)
          for (let i = 0; i < count && what === 'requests'; i++) {
            budget.deposit()
            requests.push(clock.now())
          }
          for (let i = 0; i < count && what === 'retries' && budget.withdraw(); i++) retries.push(clock.now())
          assertWithin(requests, retries, clock.now())
        }
      }),
      { numRuns: 200 },
    )
  })
})

/** Any ten seconds that end now, wherever they begin within the router's own seconds. */
function assertWithin(requests: readonly number[], retries: readonly number[], now: number): void {
  const within = (times: readonly number[]) => times.filter((at) => at > now - 10_000).length
  const allowed = within(requests) * 0.2 + 100
  const last = retries.at(-1)
  // The bound is kept at the moment of each retry; later, requests that made room for it may leave the window first.
  if (last === now) assert.ok(within(retries) <= allowed, `${within(retries)} retries, ${allowed} allowed`)
}
