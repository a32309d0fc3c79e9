/** Limits that several processes or routers share: shares taken ahead, one limit for all, and what holds without a store. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Tenant, TenantLimits } from '../../../http/tenant.ts'
import { LimitsLedger } from '../../../policies/limits/limits-ledger.ts'
import { type Amounts, noAmounts } from '../../../policies/limits/limits-store.ts'
import { Reservation, TenantRefusal } from '../../../policies/limits/tenant-account.ts'
import { TenantLimiter } from '../../../policies/limits/tenant-limiter.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { DelayedStore } from '../../support/delayed-store.ts'
import { taken, tenantOf } from '../../support/tenants.ts'

const one: Amounts = [1, 0, 0]

function sharing(limits: TenantLimits, processes = 2) {
  const clock = new AppClock()
  clock.advance(1_000_000)
  const ledger = new LimitsLedger(() => clock.now())
  const tenant = tenantOf(limits)
  const all = Array.from({ length: processes }, (_, process) => {
    const store = new DelayedStore(ledger.storeFor(process), clock)
    let waits = 0
    const limiter = new TenantLimiter({ clock, store, onWait: () => waits++ })
    return { store, limiter, waits: () => waits }
  })
  const [first, second] = all as [(typeof all)[0], (typeof all)[0]]
  return { clock, ledger, tenant, all, first, second }
}

/** The decision, with the time that it takes. */
async function decided(clock: AppClock, limiter: TenantLimiter, tenant: Tenant, amounts: Amounts = one) {
  const decision = limiter.take(tenant, amounts)
  if (!(decision instanceof Promise)) return decision
  let made: Reservation | TenantRefusal | undefined
  void decision.then((value) => {
    made = value
  })
  for (let ms = 0; made === undefined && ms < 1000; ms++) await clock.pass(1)
  assert.ok(made, 'decided within a second')
  return made
}

const isTaken = (decision: unknown) => decision instanceof Reservation

describe('two processes', () => {
  test('let one limit pass together, whoever is asked more', async () => {
    for (const share of [0.5, 0.9, 1]) {
      const { clock, tenant, first, second } = sharing({ requestsPerMinute: 600 })
      let passed = 0
      const begin = clock.now()
      for (let count = 0; count < 1500; count++) {
        const { limiter } = (count * 0.618) % 1 < share ? first : second
        if (isTaken(await decided(clock, limiter, tenant))) passed++
        await clock.pass(5)
      }
      const allowed = 600 + ((clock.now() - begin) / 60_000) * 600
      assert.ok(passed <= allowed && passed >= allowed * 0.95, `${share}: ${passed} of ${allowed}`)
    }
  })

  test('spend what they have taken ahead without a wait', async () => {
    const { clock, tenant, first } = sharing({ requestsPerMinute: 6000 })
    await decided(clock, first.limiter, tenant)
    for (let count = 0; count < 1000; count++) {
      taken(first.limiter.take(tenant, one)).settle(one)
      await clock.pass(12)
    }
    assert.equal(first.waits(), 1, 'only the first request waits')
    assert.ok(first.store.asked < 200, `${first.store.asked} exchanges for 1000 requests`)
  })

  test('leave what one of them does not need to the other', async () => {
    const { clock, tenant, first, second } = sharing({ requestsPerMinute: 100 })
    const reservation = await decided(clock, first.limiter, tenant)
    assert.ok(reservation instanceof Reservation)
    reservation.settle(noAmounts)
    await clock.pass(3000, 100)
    let passed = 0
    for (let count = 0; count < 120; count++)
      if (isTaken(await decided(clock, second.limiter, tenant))) passed++
    assert.ok(passed >= 100 && passed <= 101, `${passed}`)
  })

  test('settle tokens for both', async () => {
    const { clock, tenant, first, second } = sharing({ completionTokensPerMinute: 10_000 })
    const ask = { first: [1, 0, 8000], second: [1, 0, 7000] } as const
    const reservation = await decided(clock, first.limiter, tenant, ask.first)
    assert.ok(reservation instanceof Reservation)
    assert.ok((await decided(clock, second.limiter, tenant, ask.second)) instanceof TenantRefusal)
    reservation.settle([1, 0, 100])
    await clock.pass(300, 10)
    const other = await decided(clock, second.limiter, tenant, ask.second)
    assert.ok(other instanceof Reservation)
    other.settle([1, 0, 30_000])
    await clock.pass(300, 10)
    const { waitMs } = (await decided(clock, first.limiter, tenant, [1, 0, 1000])) as TenantRefusal
    assert.ok(waitMs > 120_000 && waitMs < 130_000, `${waitMs} ms for 31,000 at 10,000 a minute`)
  })

  test('tell whoever is refused a time after which it goes on', async () => {
    const { clock, tenant, first, second } = sharing({ requestsPerMinute: 30 })
    for (let count = 0; count < 60; count++)
      await decided(clock, (count % 2 === 0 ? first : second).limiter, tenant)
    for (let round = 0; round < 10; round++) {
      const { limiter } = round % 2 === 0 ? first : second
      const refusal = await decided(clock, limiter, tenant)
      assert.ok(refusal instanceof TenantRefusal)
      await clock.pass(Math.ceil(refusal.waitMs / 1000) * 1000, 50)
      assert.ok(isTaken(await decided(clock, limiter, tenant)), `round ${round}`)
    }
  })

  test('have no more requests in flight together than they may, and one that dies holds none', async () => {
    const { clock, ledger, tenant, first, second } = sharing({ requestsInFlight: 10 })
    const open: Reservation[] = []
    for (let count = 0; count < 30; count++) {
      const decision = await decided(clock, (count % 3 === 0 ? first : second).limiter, tenant)
      if (decision instanceof Reservation) open.push(decision)
    }
    assert.equal(open.length, 10)
    open.pop()?.settle(one)
    await clock.pass(2500, 50)
    assert.ok(isTaken(await decided(clock, first.limiter, tenant)), 'a place that the other had')
    assert.ok(!isTaken(await decided(clock, second.limiter, tenant)))
    ledger.forget(0)
    await clock.pass(100)
    assert.ok(isTaken(await decided(clock, second.limiter, tenant)))
  })

  test('ask once for all who wait at the same time', async () => {
    const { clock, tenant, first } = sharing({ requestsPerMinute: 100 })
    const decisions = Array.from({ length: 150 }, () => first.limiter.take(tenant, one))
    for (let ms = 0; ms < 5; ms++) await clock.pass(1)
    const made = await Promise.all(decisions)
    assert.equal(made.filter(isTaken).length, 100)
    assert.ok(first.store.asked <= 3, `${first.store.asked} exchanges`)
  })
})

describe('a store that is gone', () => {
  test('fails no request: each process has the whole limit, and says afterwards what it used', async () => {
    const { clock, tenant, first, second } = sharing({ requestsPerMinute: 60 })
    for (let count = 0; count < 20; count++)
      assert.ok(isTaken(await decided(clock, first.limiter, tenant)), `${count}`)
    for (const { store } of [first, second]) store.silent = true
    const waiting = first.limiter.take(tenant, one)
    for (let count = 0; count < 10; count++) await decided(clock, first.limiter, tenant)
    assert.ok(isTaken(await waiting), 'who waited for an answer goes on without one')
    assert.equal(first.store.isUp, false)
    let passed = 31
    while (isTaken(first.limiter.take(tenant, one))) passed++
    assert.ok(passed >= 60 && passed <= 62, `${passed} in one process`)
    for (const { store } of [first, second]) {
      store.silent = false
      store.isUp = true
    }
    await clock.pass(1500, 50)
    let others = 0
    for (let count = 0; count < 60; count++)
      if (isTaken(await decided(clock, second.limiter, tenant))) others++
    assert.ok(others <= 4, `${others} in the other one, once it is back`)
  })

  test('or only slow, is told nothing twice: what it has heard counts once', async () => {
    const { clock, tenant, ledger, first } = sharing({ requestsPerMinute: 600 })
    first.store.isUp = false
    for (let count = 0; count < 250; count++) taken(first.limiter.take(tenant, one))
    Object.assign(first.store, { isUp: true, late: true })
    await decided(clock, first.limiter, tenant)
    first.store.late = false
    await clock.pass(3000, 50)
    const nothing = { charge: noAmounts, want: noAmounts, slots: 0 }
    const { used } = ledger.exchange(9, tenant.name, { limits: tenant.limits, ...nothing })
    // Less what drains, and more what is taken ahead.
    assert.ok(used[0] > 200 && used[0] < 270, `${used[0]} of 251`)
  })

  test('leaves nobody waiting when the router stops', async () => {
    const { clock, tenant, first } = sharing({ requestsPerMinute: 60 })
    const waiting = first.limiter.take(tenant, one)
    const closed = first.limiter.close()
    assert.ok(isTaken(await waiting))
    await clock.pass(10, 1)
    await closed
    assert.ok(isTaken(first.limiter.take(tenant, one)))
  })

  test('gets back what a router that stops has not used', async () => {
    const { clock, tenant, first, second } = sharing({ requestsPerMinute: 100 })
    taken((await decided(clock, first.limiter, tenant)) as Reservation).settle(noAmounts)
    const closed = first.limiter.close()
    await clock.pass(10, 1)
    await closed
    let passed = 0
    while (isTaken(await decided(clock, second.limiter, tenant))) passed++
    assert.ok(passed >= 100, `${passed}`)
  })
})

describe('whatever comes', () => {
  const step = fc.record({
    process: fc.nat(2),
    gapMs: fc.oneof({ weight: 4, arbitrary: fc.nat(30) }, fc.nat(3000)),
    asked: fc.tuple(fc.constant(1), fc.nat(300), fc.nat(300)),
    used: fc.tuple(fc.constant(1), fc.nat(300), fc.nat(300)),
    runs: fc.nat(20),
  })

  test('together no more goes on than one limit, a twentieth aside, and no request is forgotten', async () => {
    const limits = {
      requestsPerMinute: 40,
      promptTokensPerMinute: 3000,
      completionTokensPerMinute: 3000,
      requestsInFlight: 8,
    }
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 80 }), async (steps) => {
        const { clock, tenant, all } = sharing(limits, 3)
        const begin = clock.now()
        const sums = [0, 0, 0]
        const open: { left: number; end: () => void }[] = []
        for (const { process, gapMs, asked, used, runs } of steps) {
          await clock.pass(gapMs, 10)
          for (const one of open) one.left--
          for (const one of open.filter(({ left }) => left <= 0)) {
            open.splice(open.indexOf(one), 1)
            one.end()
          }
          const decision = await decided(clock, all[process]!.limiter, tenant, asked)
          if (!(decision instanceof Reservation)) continue
          const final = used.map((value, index) => Math.min(value, decision.amounts[index]!))
          for (let index = 0; index < 3; index++) sums[index]! += final[index]!
          open.push({ left: runs, end: () => decision.settle(final as unknown as Amounts) })
          assert.ok(open.length <= limits.requestsInFlight, `${open.length} in flight`)
        }
        const minutes = 1 + (clock.now() - begin) / 60_000
        for (const [index, limit] of [40, 3000, 3000].entries())
          assert.ok(sums[index]! <= limit * minutes * 1.05 + 1, `limit ${index}: ${sums[index]}`)
        for (const { end } of open) end()
        await clock.pass(200_000, 1000)
        await settled()
        assert.equal(clock.pending, 0, 'nobody has anything to say any more')
      }),
      { numRuns: 60 },
    )
  })
})
