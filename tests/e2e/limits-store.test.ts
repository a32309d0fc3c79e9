/** Two routers that share the limits of tenants in a real Redis, and one that loses it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually } from '../support/deadline.ts'
import { startLoad } from '../support/load.ts'
import { startRedis, withoutRedis } from '../support/redis-server.ts'
import { runRouter } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { tenantHeaders, tenantRouter } from '../support/tenant-router.ts'

const timeout = 30_000

async function twoRouters(t: Scope, limits: Parameters<typeof tenantRouter>[1]) {
  const redis = await startRedis(t)
  const worker = await startScriptedWorker(undefined, { t })
  const options = { workerUrls: [worker.url], limitsStore: redis.url }
  const routers = await Promise.all([tenantRouter(t, limits, options), tenantRouter(t, limits, options)])
  const store = redis.url
  const isUp = (wanted: number) =>
    eventually(
      async () => {
        for (const router of routers)
          if ((await router.metric('vllm_router_limits_store_up', { store })) !== wanted) return false
        return true
      },
      { what: `limits_store_up ${wanted}`, withinMs: 10_000 },
    )
  await isUp(1)
  return { redis, worker, routers, isUp }
}

describe('two routers with one store', { skip: withoutRedis }, () => {
  test('have one limit together, within a twentieth', { timeout }, async (t) => {
    const { routers, worker } = await twoRouters(t, { requestsPerMinute: 300, requestsInFlight: 50 })
    const begin = performance.now()
    let passed = 0
    for (let round = 0; round < 60; round++) {
      const some = await Promise.all(
        // Three times as many to one as to the other.
        Array.from({ length: 10 }, (_, index) => routers[index % 4 === 0 ? 1 : 0]!.ask()),
      )
      passed += some.filter(({ head }) => head.status === 200).length
    }
    const allowed = 300 + ((performance.now() - begin) / 60_000) * 300
    assert.ok(passed <= allowed * 1.05 && passed >= allowed * 0.95, `${passed} passed, ${allowed} allowed`)
    assert.equal(worker.requests.length, passed)
  })

  test('serve on when it is killed and come back to it, and no request fails', { timeout }, async (t) => {
    const { redis, routers, isUp } = await twoRouters(t, {
      ...{ requestsPerMinute: 60_000, promptTokensPerMinute: 900_000, requestsInFlight: 200 },
    })
    const json = { model: 'test-model', prompt: 'hi', max_tokens: 5 }
    const load = startLoad({
      ...{ perSecond: 100, t },
      to: () => ({ port: routers[load.sent % 2]!.port }),
      request: () => ({ path: '/v1/completions', json, headers: tenantHeaders }),
    })
    const more = (count: number) => {
      const until = load.done.length + count
      return eventually(() => load.done.length >= until, { what: `${count} more`, withinMs: 15_000 })
    }
    await more(50)
    await redis.kill()
    await isUp(0)
    await more(100)
    await redis.restart()
    await isUp(1)
    await more(50)
    redis.freeze()
    await isUp(0)
    await more(50)
    redis.goOn()
    await isUp(1)
    await more(50)
    assert.deepEqual(await load.stop(), [])
    for (const { logs } of routers) {
      const told = logs.flatMap(({ msg }) => (String(msg).startsWith('limits store') ? [String(msg)] : []))
      const gone = 'limits store gone: each process keeps the limits by itself'
      assert.deepEqual(told, [
        ...['limits store in use', gone],
        ...['limits store in use', gone, 'limits store in use'],
      ])
    }
  })

  test('ask it seldom: a request within what its router has taken ahead does not wait', {
    timeout,
  }, async (t) => {
    const { routers } = await twoRouters(t, { requestsPerMinute: 60_000 })
    for (let count = 0; count < 200; count++) assert.equal((await routers[0]!.ask()).head.status, 200)
    assert.equal(await routers[0]!.metric('vllm_router_limits_store_waits_total'), 1, 'only the first one')
    const { store } = (await routers[0]!.read('/limits')) as { store: { up: boolean } }
    assert.equal(store.up, true)
  })
})

test('a password of the store is shown nowhere', { timeout }, async (t) => {
  const args = ['config', 'print', '--limits-store', 'redis://me:secret-word@127.0.0.1:6379/0']
  const { stdout, stderr } = await runRouter({ args, t })
  assert.doesNotMatch(stdout + stderr, /secret-word/)
  const wrong = await runRouter({ args: ['--limits-store', 'http://me:secret-word@host'], t })
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /begins with redis:\/\//)
  assert.doesNotMatch(wrong.stderr, /secret-word/)
})
