/** Shares of limits in a real Redis: what its script grants, and what happens when the server does not do what it should. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { RedisStore } from '../../../app/limits-store/redis-store.ts'
import { systemClock } from '../../../app/runtime/clock.ts'
import type { TenantLimits } from '../../../http/tenant.ts'
import { LimitsLedger } from '../../../policies/limits/limits-ledger.ts'
import { noAmounts, type ShareRequest } from '../../../policies/limits/limits-store.ts'
import { eventually, within } from '../../support/deadline.ts'
import { startRedis, withoutRedis } from '../../support/redis-server.ts'
import type { Scope } from '../../support/scope.ts'
import { shared } from '../../support/shared.ts'
import { closedPort } from '../../support/sockets.ts'

const timeout = 30_000
const skip = withoutRedis

async function open(t: Scope, url: string, id = 'a') {
  const told: string[] = []
  const onChange = (isUp: boolean, reason: string) => void told.push(isUp ? 'up' : `down: ${reason}`)
  const store = await RedisStore.open({ url, id, clock: systemClock, onChange })
  t.after(() => store.close())
  return { store, told, isUp: () => eventually(() => store.isUp, { what: 'a store in use' }) }
}

const one = shared(async (t) => {
  const redis = await startRedis(t)
  const stores = await Promise.all(['p0', 'p1', 'p2'].map((id) => open(t, redis.url, id)))
  for (const { isUp } of stores) await isUp()
  return { redis, stores: stores.map(({ store }) => store) }
})

const want = (requests: number, slots = 0): ShareRequest => ({
  ...{ limits: { requestsPerMinute: 600, requestsInFlight: 10 }, charge: noAmounts, slots },
  want: [requests, 0, 0],
})

/** One command, as somebody types it. */
async function say(port: number, words: readonly string[]): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  try {
    socket.write(`${words.map((word) => JSON.stringify(word)).join(' ')}\r\n`)
    await within(2000, once(socket, 'data'), 'an answer')
  } finally {
    socket.destroy()
  }
}

describe('the script', { skip }, () => {
  test('does what the ledger in memory does, whatever is asked', { timeout }, async () => {
    const { stores } = await one()
    const amounts = (min: number, max: number) => fc.tuple(...[0, 1, 2].map(() => fc.integer({ min, max })))
    const limits: fc.Arbitrary<TenantLimits> = fc.record(
      {
        requestsPerMinute: fc.integer({ min: 1, max: 500 }),
        promptTokensPerMinute: fc.integer({ min: 1, max: 500 }),
        completionTokensPerMinute: fc.integer({ min: 1, max: 500 }),
        requestsInFlight: fc.integer({ min: 1, max: 20 }),
      },
      { requiredKeys: [] },
    )
    const step = fc.record({
      process: fc.nat(2),
      charge: amounts(-30, 60),
      want: amounts(0, 80),
      slots: fc.nat(15),
    })
    let tenants = 0
    await fc.assert(
      fc.asyncProperty(limits, fc.array(step, { minLength: 1, maxLength: 12 }), async (limits, steps) => {
        const ledger = new LimitsLedger(() => performance.now())
        const tenant = `t${tenants++}`
        const begin = performance.now()
        for (const { process, ...rest } of steps) {
          const request = { limits, ...rest } as unknown as ShareRequest
          const [expected, said] = [
            ledger.exchange(process, tenant, request),
            await stores[process]!.exchange(tenant, request),
          ]
          assert.equal(said.slots, expected.slots)
          assert.equal(said.slotsHeld, expected.slotsHeld)
          for (let index = 0; index < 3; index++) {
            const drained = 1 + ((performance.now() - begin) * 500) / 60_000
            assert.ok(Math.abs(said.granted[index]! - expected.granted[index]!) <= drained, 'granted')
            assert.ok(Math.abs(said.used[index]! - expected.used[index]!) <= drained, 'used')
          }
        }
      }),
      { numRuns: 60 },
    )
  })

  test('grants one limit to all processes, whole requests only', { timeout }, async () => {
    const { stores } = await one()
    const answers = await Promise.all(stores.map((store) => store.exchange('together', want(250))))
    const granted = answers.map((answer) => answer.granted[0])
    assert.deepEqual(
      granted.toSorted((a, b) => a - b),
      [100, 250, 250],
    )
    for (const amount of granted) assert.equal(amount, Math.floor(amount))
  })

  test('goes on where it was when the clock of the server is put back', { timeout }, async () => {
    const { redis, stores } = await one()
    // An hour ahead: what a server has left that was so far wrong, or whose place another has taken.
    const ahead = Date.now() + 3_600_000
    const key = 'vllm-router:limits:put-back'
    await say(redis.port, ['HSET', key, '1', `300 ${ahead}`, '@dead', `4 ${ahead}`])
    const { granted, used, slots } = await stores[0]!.exchange('put-back', want(600, 10))
    assert.ok(granted[0] >= 299 && granted[0] <= 301, `${granted[0]} of 300`)
    assert.ok(used[0] <= 600)
    assert.equal(slots, 10)
  })

  test('keeps each tenant by itself, and names that look like others apart', { timeout }, async () => {
    const [store] = (await one()).stores
    for (const tenant of ['x', 'x:y', 'probe', ':probe', 'ü '])
      assert.equal((await store!.exchange(tenant, want(600))).granted[0], 600, tenant)
  })
})

test('a server that was never there is told of, once', { timeout }, async (t) => {
  const { port, release } = await closedPort()
  t.after(release)
  const { store, told } = await open(t, `redis://127.0.0.1:${port}`)
  await eventually(() => told.length > 0, { what: 'a word' })
  await assert.rejects(store.exchange('t', want(5)))
  assert.equal(told.length, 1)
  assert.match(told[0]!, /^down: .*ECONNREFUSED/)
  assert.equal(store.isUp, false)
})

describe('a server that fails', { skip }, () => {
  test('is told of once, and used again when it is back', { timeout }, async (t) => {
    const redis = await startRedis(t)
    const { store, told, isUp } = await open(t, redis.url)
    await isUp()
    await store.exchange('t', want(5))
    await redis.kill()
    await eventually(() => !store.isUp, { what: 'that it is gone' })
    await assert.rejects(store.exchange('t', want(5)))
    await redis.restart()
    await isUp()
    assert.equal((await store.exchange('t', want(600))).granted[0], 600, 'it has forgotten all')
    assert.deepEqual(told, ['up', 'down: the connection was closed', 'up'])
  })

  test('that hangs is waited for no longer than a moment, and found again', { timeout }, async (t) => {
    const redis = await startRedis(t)
    const { store, told, isUp } = await open(t, redis.url)
    await isUp()
    redis.freeze()
    t.after(() => redis.goOn())
    for (const isUp of [true, false]) {
      const late = within(5000, store.exchange('t', want(5)), 'a rejection')
      await assert.rejects(late, /no answer within 200 ms/)
      assert.equal(store.isUp, isUp, 'one late answer may be an accident')
    }
    redis.goOn()
    await isUp()
    assert.deepEqual(told, ['up', 'down: no answer within 200 ms', 'up'])
  })

  test('that was not there at the start is used when it comes', { timeout }, async (t) => {
    const redis = await startRedis(t)
    await redis.kill()
    const { store, isUp } = await open(t, redis.url)
    assert.equal(store.isUp, false)
    await assert.rejects(store.exchange('t', want(5)))
    await redis.restart()
    await isUp()
  })

  test('that wants another password is not used, and the password is not told', { timeout }, async (t) => {
    const redis = await startRedis(t, ['--requirepass', 'right-word'])
    const right = await open(t, redis.url.replace('//', '//:right-word@'))
    await right.isUp()
    const wrong = await open(t, redis.url.replace('//', '//default:wrong-word@'))
    await assert.rejects(wrong.store.exchange('t', want(5)), (error: Error) => {
      assert.doesNotMatch(`${error.message} ${error.stack}`, /wrong-word/)
      return true
    })
    assert.equal(wrong.store.isUp, false)
  })

  test('that only reads is not used, though it takes connections', { timeout }, async (t) => {
    const main = await startRedis(t)
    const copy = await startRedis(t, ['--replicaof', '127.0.0.1', String(main.port)])
    const { store } = await open(t, copy.url)
    const refused = (error: Error) => /READONLY|LOADING|MASTERDOWN|writeable|closed/.test(error.message)
    await assert.rejects(store.exchange('t', want(5)), refused)
    assert.equal(store.isUp, false)
  })

  test('holds places of requests no longer than their process shows that it lives', { timeout }, async () => {
    const [first, second] = (await one()).stores
    assert.equal((await first!.exchange('places', want(0, 10))).slots, 10)
    assert.deepEqual((await second!.exchange('places', want(0, 4))).slots, 0)
    assert.equal((await first!.exchange('places', want(0, 7))).slots, 7)
    const { slots, slotsHeld } = await second!.exchange('places', want(0, 4))
    assert.deepEqual([slots, slotsHeld], [3, 10])
  })
})
