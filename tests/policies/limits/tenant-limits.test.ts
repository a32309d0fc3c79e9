/** The limits of one tenant in one process: what goes on, who waits for how long, what is settled. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { TenantLimits } from '../../../http/tenant.ts'
import { type Amounts, noAmounts } from '../../../policies/limits/limits-store.ts'
import { Reservation, TenantRefusal } from '../../../policies/limits/tenant-account.ts'
import { isLimited, TenantLimiter } from '../../../policies/limits/tenant-limiter.ts'
import { AppClock } from '../../support/app-clock.ts'
import { taken, tenantOf } from '../../support/tenants.ts'

const one: Amounts = [1, 0, 0]

function limiterOf(limits: TenantLimits) {
  const clock = new AppClock()
  clock.advance(1_000_000)
  const limiter = new TenantLimiter({ clock })
  const tenant = tenantOf(limits)
  return { clock, limiter, tenant, take: (amounts: Amounts = one) => limiter.take(tenant, amounts) }
}

function refused(decision: unknown): TenantRefusal {
  assert.ok(decision instanceof TenantRefusal, 'it is refused')
  return decision
}

describe('a limit of requests per minute', () => {
  test('lets a minute of requests pass at once, and then as fast as they drain', () => {
    const { clock, take } = limiterOf({ requestsPerMinute: 60 })
    for (let count = 0; count < 60; count++) taken(take())
    const { limit, figure, waitMs } = refused(take())
    assert.deepEqual([limit, figure], ['requests', 60])
    assert.ok(Math.abs(waitMs - 1000) < 1, `${waitMs} ms`)
    clock.advance(999)
    refused(take())
    clock.advance(1)
    taken(take())
    refused(take())
    clock.advance(60_000)
    for (let count = 0; count < 60; count++) taken(take())
    refused(take())
  })

  test('counts a request that was settled as one, and gives back one that used nothing', () => {
    const { take } = limiterOf({ requestsPerMinute: 2 })
    const [kept, back] = [taken(take()), taken(take())]
    refused(take())
    kept.settle(one)
    refused(take())
    back.settle(noAmounts)
    back.settle(noAmounts)
    taken(take())
    refused(take())
  })
})

describe('limits of tokens', () => {
  test('are settled by what was used: less is given back, more is waited for', () => {
    const { clock, take } = limiterOf({ completionTokensPerMinute: 600 })
    const first = taken(take([1, 0, 500]))
    refused(take([1, 0, 200]))
    first.settle([1, 0, 100])
    const second = taken(take([1, 0, 500]))
    second.settle([1, 0, 1100])
    const { limit, needs, waitMs } = refused(take([1, 0, 10]))
    assert.deepEqual([limit, needs], ['completion_tokens', 10])
    assert.ok(Math.abs(waitMs - 61_000) < 1, `${waitMs} ms: 1200 used, 590 may be, 10 a second`)
    clock.advance(waitMs)
    taken(take([1, 0, 10]))
  })

  test('let a request pass that is taken for more than the whole limit, when nothing else is used', () => {
    const { clock, take } = limiterOf({ promptTokensPerMinute: 100 })
    taken(take([1, 1, 0]))
    const { waitMs } = refused(take([1, 5000, 0]))
    clock.advance(waitMs)
    taken(take([1, 5000, 0]))
  })

  test('do not hold up what needs none of them', () => {
    const { take } = limiterOf({ completionTokensPerMinute: 10 })
    taken(take([1, 0, 10])).settle([1, 0, 500])
    refused(take([1, 0, 1]))
    taken(take([1, 900, 0]))
  })

  test('are taken all together or not at all, and the longest wait is told', () => {
    const { clock, take } = limiterOf({ requestsPerMinute: 60, promptTokensPerMinute: 60 })
    taken(take([1, 60, 0]))
    const { limit, waitMs } = refused(take([1, 30, 0]))
    assert.equal(limit, 'prompt_tokens')
    for (let again = 0; again < 200; again++) refused(take([1, 60, 0]))
    clock.advance(waitMs)
    taken(take([1, 30, 0]))
  })
})

describe('a limit of requests in flight', () => {
  test('counts from the start to the end, and estimates the wait from how long requests take', () => {
    const { clock, take } = limiterOf({ requestsInFlight: 2 })
    const [first, second] = [taken(take()), taken(take())]
    const { limit, figure, waitMs } = refused(take())
    assert.deepEqual([limit, figure, waitMs], ['requests_in_flight', 2, 500])
    clock.advance(100_000)
    first.settle(one)
    taken(take())
    assert.ok(refused(take()).waitMs > 500)
    second.settle(noAmounts)
    taken(take())
  })
})

describe('other limits', () => {
  test('act at once, and what was used up stays used', () => {
    const { limiter } = limiterOf({})
    const tenant = tenantOf({ requestsPerMinute: 10 })
    for (let count = 0; count < 10; count++) taken(limiter.take(tenant, one))
    refused(limiter.take(tenant, one))
    const more = tenantOf({ requestsPerMinute: 12 })
    for (let count = 0; count < 2; count++) taken(limiter.take(more, one))
    refused(limiter.take(more, one))
    refused(limiter.take(tenantOf({ requestsPerMinute: 5 }), one))
    for (let count = 0; count < 50; count++) taken(limiter.take(tenantOf({ promptTokensPerMinute: 5 }), one))
  })

  test('of a tenant that is gone are forgotten, and requests that still run do no harm', () => {
    const { limiter, tenant, take } = limiterOf({ requestsPerMinute: 1 })
    const other = tenantOf({ requestsPerMinute: 1 }, 'team-b')
    limiter.follow([tenant, other])
    const running = taken(take())
    taken(limiter.take(tenantOf({ requestsPerMinute: 1 }, 'made up'), one))
    limiter.follow([other])
    assert.deepEqual(
      limiter.accounts.map(({ name }) => name),
      ['made up'],
    )
    running.settle(noAmounts)
    taken(limiter.take(tenant, one))
    limiter.follow([tenant])
    refused(take())
  })

  test('none at all: nothing is to be counted', () => {
    assert.equal(isLimited({}), false)
    for (const limits of [
      { requestsPerMinute: 1 },
      { promptTokensPerMinute: 1 },
      { completionTokensPerMinute: 1 },
      { requestsInFlight: 1 },
    ])
      assert.equal(isLimited(limits), true)
  })
})

describe('the limiter', () => {
  test('forgets tenants that have nothing used up, before their number grows', () => {
    const { clock, limiter } = limiterOf({})
    for (let round = 0; round < 50; round++) {
      for (let count = 0; count < 50; count++)
        taken(limiter.take(tenantOf({ requestsPerMinute: 5 }, `t${round}-${count}`), one)).settle(one)
      clock.advance(60_000)
    }
    assert.ok([...limiter.accounts].length <= 128)
  })

  test('says what it would do without doing it', () => {
    const { limiter, tenant, take } = limiterOf({ requestsPerMinute: 1 })
    assert.equal(limiter.outlook(tenant, one), undefined)
    taken(take())
    assert.equal(limiter.outlook(tenant, one)?.limit, 'requests')
    assert.equal(limiter.outlook(tenant, one)?.waitMs, refused(take()).waitMs)
  })
})

interface Step {
  readonly gapMs: number
  readonly asked: Amounts
  readonly used: Amounts
  readonly settleAfter: number
}

const amount = fc.nat(400)
const step: fc.Arbitrary<Step> = fc.record({
  gapMs: fc.oneof(fc.constant(0), fc.nat(20_000)),
  asked: fc.tuple(fc.constant(1), amount, amount),
  // What is used is at most what was taken: what is beyond an estimate cannot be held back.
  used: fc.tuple(fc.constantFrom(0, 1), fc.nat(100), fc.nat(100)),
  settleAfter: fc.nat(5),
})
const figures = fc.record({
  requestsPerMinute: fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined }),
  promptTokensPerMinute: fc.option(fc.integer({ min: 1, max: 2000 }), { nil: undefined }),
  completionTokensPerMinute: fc.option(fc.integer({ min: 1, max: 2000 }), { nil: undefined }),
  requestsInFlight: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
})

describe('whatever comes', () => {
  test('in any span of time no more is used than one minute of the limit and what drains meanwhile', () => {
    fc.assert(
      fc.property(figures, fc.array(step, { maxLength: 120 }), (limits, steps) => {
        const { clock, limiter, tenant } = limiterOf(limits)
        const bounds = [
          limits.requestsPerMinute,
          limits.promptTokensPerMinute,
          limits.completionTokensPerMinute,
        ]
        const log: { readonly at: number; used: readonly number[] }[] = []
        const open: { left: number; settle: () => void }[] = []
        let inFlight = 0
        for (const { gapMs, asked, used, settleAfter } of steps) {
          clock.advance(gapMs)
          for (const one of open) one.left--
          for (const one of open.filter(({ left }) => left < 0)) {
            one.settle()
            open.splice(open.indexOf(one), 1)
          }
          const decision = limiter.take(tenant, asked)
          if (!(decision instanceof Reservation)) continue
          inFlight++
          assert.ok(inFlight <= (limits.requestsInFlight ?? Number.POSITIVE_INFINITY))
          const entry = { at: clock.now(), used: decision.amounts as readonly number[] }
          log.push(entry)
          const final = used.map((value, index) => Math.min(value, decision.amounts[index]!))
          open.push({
            left: settleAfter,
            settle() {
              entry.used = final
              decision.settle(final as unknown as Amounts)
              inFlight--
            },
          })
        }
        for (const [index, bound] of bounds.entries()) {
          if (bound === undefined) continue
          for (let from = 0; from < log.length; from++) {
            let sum = 0
            for (let to = from; to < log.length; to++) {
              sum += log[to]!.used[index]!
              const allowed = bound + ((log[to]!.at - log[from]!.at) * bound) / 60_000
              assert.ok(sum <= allowed + 1e-3, `limit ${index}: ${sum} used, ${allowed} allowed`)
            }
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  test('whoever waits as long as it was told goes on, and a moment earlier does not', () => {
    fc.assert(
      fc.property(figures, fc.array(step, { minLength: 1, maxLength: 60 }), (limits, steps) => {
        const { clock, limiter, tenant } = limiterOf({ ...limits, requestsInFlight: undefined })
        for (const { gapMs, asked, used } of steps) {
          clock.advance(gapMs)
          const decision = limiter.take(tenant, asked)
          if (decision instanceof Reservation) {
            // More than was estimated, too.
            decision.settle([1, used[1] * 9, used[2] * 9])
            continue
          }
          const { waitMs } = refused(decision)
          if (waitMs > 1) {
            clock.advance(waitMs * 0.99)
            refused(limiter.take(tenant, asked))
            clock.advance(waitMs * 0.01 + 1e-3)
          } else clock.advance(waitMs + 1e-3)
          taken(limiter.take(tenant, asked))
        }
      }),
      { numRuns: 300 },
    )
  })
})
