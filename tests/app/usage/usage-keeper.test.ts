/** How usage gets to where it is kept: soon, all of it, whatever the disk does. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { UsageKeeper } from '../../../app/usage/usage-keeper.ts'
import { usageReport } from '../../../app/usage/usage-report.ts'
import { hourMs, nothing, sumOf, type UsageRow } from '../../../app/usage/usage-row.ts'
import { MemoryStore } from '../../../app/usage/usage-store.ts'
import { AppClock, settled } from '../../support/app-clock.ts'

const hour = 500_000
const everything = { from: 0, to: 2 * hour }

/** A disk that fails when it is told to, and takes a while when it is told to. */
class FickleStore extends MemoryStore {
  fails = false
  /** Another process has the file: it can be added to at last, and what is old not be taken out. */
  cannotForget = false
  writes = 0
  slowness: Promise<void> | undefined

  override async add(rows: readonly UsageRow[]): Promise<void> {
    this.writes++
    await this.slowness
    if (this.fails) throw new Error('the disk is full')
    await super.add(rows)
  }

  override async forget(before: number): Promise<void> {
    if (this.cannotForget) throw new Error('the file is locked')
    await super.forget(before)
  }
}

function setUp(retentionDays = 2) {
  const clock = new AppClock()
  const store = new FickleStore()
  const said: string[] = []
  const counted: UsageRow[] = []
  let wall = hour * hourMs
  const keeper = new UsageKeeper({
    ...{ store, clock, retentionDays },
    wallNow: () => wall,
    events: {
      usageFailed: (reason) => said.push(reason),
      usageRecovered: () => said.push('recovered'),
    },
  })
  const source = { onCounted: () => {}, take: () => counted.splice(0) }
  keeper.follow(source)
  return {
    ...{ clock, store, said, keeper },
    count(requests: number, at = hour) {
      counted.push({ hour: at, tenant: 'a', model: 'm', ...nothing, requests })
      source.onCounted()
    },
    async requests() {
      return sumOf(await store.rows(everything)).requests
    },
    hoursPass(hours: number) {
      wall += hours * hourMs
    },
  }
}

describe('what is counted', () => {
  test('is written half a second later, in one go, and then the clock stands still', async () => {
    const { clock, store, count, requests } = setUp()
    count(1)
    count(2)
    await clock.pass(499)
    assert.equal(await requests(), 0)
    await clock.pass(1)
    assert.deepEqual([await requests(), store.writes, clock.pending], [3, 1, 0])
  })

  test('stays where it is while nothing can be written, and is written when it can be', async () => {
    const { clock, store, said, count, requests } = setUp()
    store.fails = true
    count(1)
    await clock.pass(1000)
    count(2)
    await clock.pass(10_000, 1000)
    assert.deepEqual([await requests(), new Set(said)], [0, new Set(['the disk is full'])])
    assert.ok(store.writes >= 3 && store.writes <= 5, `${store.writes} times`)
    store.fails = false
    await clock.pass(5000, 1000)
    assert.equal(await requests(), 3)
    assert.deepEqual([said.at(-1), clock.pending], ['recovered', 0])
  })

  test('while a slow disk writes is written after that', async () => {
    const { clock, store, count, requests, keeper } = setUp()
    const slowness = Promise.withResolvers<void>()
    store.slowness = slowness.promise
    count(1)
    await clock.pass(1000)
    count(10)
    await clock.pass(5000, 1000)
    const flushed = keeper.flush()
    slowness.resolve()
    await flushed
    assert.equal(await requests(), 11)
  })

  test('is written at the end, and is there when somebody asks', async () => {
    const { count, keeper, requests, clock } = setUp()
    count(4)
    assert.equal((await usageReport(keeper, {})).total.requests, 4)
    count(5)
    await keeper.close()
    assert.deepEqual([await requests(), clock.pending], [9, 0])
  })

  test('is not added again where only what is old could not be taken out', async () => {
    const { clock, store, said, count, requests } = setUp()
    store.cannotForget = true
    count(3)
    await clock.pass(500)
    assert.deepEqual([await requests(), said], [3, ['the file is locked']])
    store.cannotForget = false
    await clock.pass(5000, 1000)
    assert.deepEqual([await requests(), said.at(-1), clock.pending], [3, 'recovered', 0])
  })

  test('is never told in part: where not all of it can be written, nothing is told', async () => {
    const { count, keeper, store } = setUp()
    count(4)
    store.fails = true
    await assert.rejects(usageReport(keeper, {}), {
      code: 'internal_error',
      message: /cannot be told .*: the disk is full/,
    })
    await keeper.close()
  })

  test('is neither lost nor counted twice, however often the disk fails', async () => {
    const step = fc.oneof(
      fc.record({ count: fc.nat(100) }),
      fc.record({ fails: fc.boolean() }),
      fc.record({ cannotForget: fc.boolean() }),
      fc.record({ hours: fc.nat(1) }),
      fc.record({ ms: fc.nat(6000) }),
      fc.constant({ ask: true } as const),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { clock, store, keeper, count, requests, hoursPass } = setUp(30)
        let all = 0
        for (const one of steps) {
          if ('count' in one) {
            all += one.count
            count(one.count)
          } else if ('fails' in one) store.fails = one.fails
          else if ('cannotForget' in one) store.cannotForget = one.cannotForget
          else if ('hours' in one) hoursPass(one.hours)
          else if ('ms' in one) await clock.pass(one.ms)
          else await keeper.flush().catch(() => {})
        }
        store.fails = false
        store.cannotForget = false
        await keeper.close()
        await settled()
        assert.deepEqual([await requests(), clock.pending], [all, 0])
      }),
      { numRuns: 100 },
    )
  })
})

describe('what is too old', () => {
  test('is forgotten, and is not asked for', async () => {
    const { count, keeper, requests, hoursPass } = setUp(2)
    for (const [requests, age] of [
      [1, 0],
      [10, 47],
      [100, 48],
    ] as const)
      count(requests, hour - age)
    assert.equal((await usageReport(keeper, {})).total.requests, 11)
    hoursPass(1)
    assert.equal((await usageReport(keeper, { from: 0 })).total.requests, 1)
    assert.equal(await requests(), 1)
  })

  test('is so at once when the days are fewer', async () => {
    const { count, keeper, requests } = setUp(2)
    count(10, hour - 30)
    await keeper.flush()
    keeper.retentionDays = 1
    await keeper.flush()
    assert.equal(await requests(), 0)
  })
})

test('a report tells its hours, those without a tenant as null, and which there are', async () => {
  const { keeper, count } = setUp()
  await keeper.add([
    { hour: hour - 1, tenant: '', model: 'm', ...nothing, requests: 1, worker_seconds: 0.1 },
    { hour, tenant: '', model: 'm', ...nothing, requests: 2, worker_seconds: 0.2 },
  ])
  count(8)
  const begin = hour * hourMs
  const at = (ms: number) => new Date(ms).toISOString()
  const { hours, from, to, total, lasts, retention_days } = await usageReport(keeper, {})
  assert.deepEqual([from, to, lasts, retention_days], [at(begin - 47 * hourMs), at(begin + hourMs), false, 2])
  assert.deepEqual(
    hours.map((one) => [one.hour, one.tenant, one.requests]),
    [
      [at(begin - hourMs), null, 1],
      [at(begin), null, 2],
      [at(begin), 'a', 8],
    ],
  )
  assert.deepEqual([total.requests, total.worker_seconds], [11, 0.3])
  const requests = async (filter: object) => (await usageReport(keeper, filter)).total.requests
  assert.deepEqual(
    [
      await requests({ tenant: '' }),
      await requests({ tenant: 'a' }),
      await requests({ model: 'other' }),
      await requests({ from: begin + 1 }),
      await requests({ to: begin }),
      await requests({ to: begin + 1 }),
    ],
    [3, 8, 0, 10, 1, 11],
  )
})
