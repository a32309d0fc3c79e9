/** The limits of a tenant in a running router: what clients and operators see of them. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { eventually, pause, within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { tenantHash, tenantHeaders, tenantRouter } from '../support/tenant-router.ts'
import { answer, until } from '../support/wire.ts'

const timeout = 30_000
const chat = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }], max_tokens: 5 }

async function start(t: Scope, limits: Parameters<typeof tenantRouter>[1], options = {}) {
  const worker = await startScriptedWorker(undefined, { t })
  const router = await tenantRouter(t, limits, { workerUrls: [worker.url], ...options })
  return { worker, router }
}

describe('a tenant', () => {
  test('that comes back when it was told goes on, and operators see why it had to wait', {
    timeout,
  }, async (t) => {
    // One request each three seconds: what the test asks takes less, on a slow machine, too.
    const limit = 20
    const { worker, router } = await start(t, { requestsPerMinute: limit })
    for (let count = 0; count < limit; count++) assert.equal((await router.ask()).head.status, 200)
    let last = await router.ask()
    // What drains while the requests are sent lets some more pass.
    while (last.head.status === 200) last = await router.ask()
    assert.equal(last.head.status, 429)
    assert.match(last.body.bytes.toString(), /"code":"tenant_rate_limited"/)
    assert.equal(last.head.header('x-ratelimit-limit-requests'), String(limit))
    const seconds = Number(last.head.header('retry-after'))
    assert.ok(seconds >= 1 && seconds <= 3, `Retry-After: ${seconds}`)
    const sent = worker.requests.length

    const dry = (await router.post('/debug/route?tenant=team-a', chat)) as {
      outcome: string
      refused: { code: string }
    }
    assert.deepEqual([dry.outcome, dry.refused.code], ['refused', 'tenant_rate_limited'])
    const other = (await router.post('/debug/route?tenant=team-b', chat)) as {
      outcome: string
      notes: string[]
    }
    assert.equal(other.outcome, 'sent')
    assert.ok(other.notes.includes('There is no tenant "team-b" that has limits.'))
    const { store, tenants } = (await router.read('/limits')) as { store: null; tenants: object[] }
    assert.equal(store, null)
    assert.equal(tenants.length, 1)
    assert.match(JSON.stringify(tenants[0]), /^\{"tenant":"team-a","requests":\{"limit":20,"used":(19|20),/)
    assert.equal(
      await router.metric('vllm_router_tenant_limited_total', { tenant: 'team-a', limit: 'requests' }),
      1,
    )
    assert.equal(await router.metric('vllm_router_rejected_total', { reason: 'tenant_rate_limited' }), 1)
    assert.equal(worker.requests.length, sent, 'a request that is refused does not get to a worker')

    // The time itself is what is tested here.
    await pause(seconds * 1000)
    assert.equal((await router.ask()).head.status, 200)
  })

  test('is told what is left with every answer: plain, streamed, and of a failure', {
    timeout,
  }, async (t) => {
    const { worker, router } = await start(
      t,
      { requestsPerMinute: 100, completionTokensPerMinute: 1000 },
      { disableRetries: true },
    )
    const told = async (json: object, path = '/v1/chat/completions') => {
      const { head } = await router.ask(json, path)
      return [head.status, Number(head.header('x-ratelimit-remaining-requests'))]
    }
    assert.deepEqual(await told(chat), [200, 99])
    assert.deepEqual(await told({ ...chat, stream: true }), [200, 98])
    worker.use(() => answer(500, '{"error":{"message":"no"}}'))
    assert.deepEqual(await told(chat), [500, 97])
    worker.use(undefined)
    const anthropic = await router.ask(chat, '/v1/messages')
    assert.equal(anthropic.head.header('anthropic-ratelimit-requests-remaining'), '96')
    assert.equal(anthropic.head.header('x-ratelimit-remaining-requests'), undefined)
    await worker.crash()
    const { head } = await router.ask()
    assert.equal(head.status >= 500, true)
    assert.notEqual(head.header('x-ratelimit-remaining-requests'), undefined)
    // Nobody was there: it was given back.
    const { tenants } = (await router.read('/limits')) as { tenants: { requests: { remaining: number } }[] }
    assert.ok((tenants[0]?.requests.remaining ?? 0) >= 96)
  })

  test('has as many requests in flight as it may, to their last byte, and pays for what was used', {
    timeout,
  }, async (t) => {
    const { worker, router } = await start(t, { requestsInFlight: 1, completionTokensPerMinute: 1000 })
    const gate = Promise.withResolvers<void>()
    worker.use((request) => [until(gate.promise), ...worker.healthy(request)])
    const running = rawRequest({
      ...{ port: router.port, path: '/v1/chat/completions', headers: tenantHeaders },
      json: { ...chat, max_tokens: 900, stream: true },
    })
    await worker.received(1)
    const refused = await router.ask()
    assert.equal(refused.head.status, 429)
    assert.match(refused.body.bytes.toString(), /at its limit of 1 requests in flight/)
    gate.resolve()
    await within(5000, running.text(), 'the stream')
    worker.use(undefined)
    await eventually(async () => (await router.ask()).head.status === 200, { what: 'a place' })
    const { tenants } = (await router.read('/limits')) as {
      tenants: { completion_tokens: { used: number } }[]
    }
    const used = tenants[0]?.completion_tokens.used ?? 0
    // Five tokens and the end, counted by their events; then five by the usage.
    assert.ok(used >= 5 && used <= 12, `${used} tokens`)
  })

  test('gets other limits at once, and what it has used stays used', { timeout }, async (t) => {
    const { router } = await start(t, { requestsPerMinute: 3 })
    for (let count = 0; count < 3; count++) assert.equal((await router.ask()).head.status, 200)
    assert.equal((await router.ask()).head.status, 429)
    router.use({ requestsPerMinute: 5 })
    for (let count = 0; count < 2; count++) assert.equal((await router.ask()).head.status, 200)
    assert.equal((await router.ask()).head.status, 429)
    router.use({})
    const { head } = await router.ask()
    assert.equal(head.status, 200)
    assert.equal(head.header('x-ratelimit-limit-requests'), undefined, 'no limit, no field')
  })

  test('that is taken out of the list leaves nothing behind', { timeout }, async (t) => {
    const { router } = await start(t, { requestsPerMinute: 1 })
    assert.equal((await router.ask()).head.status, 200)
    assert.equal((await router.ask()).head.status, 429)
    const limited = (limit: string) =>
      router.metric('vllm_router_tenant_limited_total', { tenant: 'team-a', limit })
    assert.equal(await limited('requests'), 1)
    assert.equal(await limited('prompt_tokens'), undefined, 'it has no such limit')
    router.use(undefined)
    assert.equal((await router.ask()).head.status, 401)
    assert.equal(await limited('requests'), undefined)
    assert.deepEqual(await router.read('/limits'), { store: null, tenants: [] })
    router.use({ requestsPerMinute: 1 })
    assert.equal(await limited('requests'), 0)
    const { tenants } = (await router.read('/limits')) as { tenants: { requests: { used: number } }[] }
    assert.equal(tenants[0]?.requests.used, 0, 'a tenant with limits is there before its first request')
    assert.equal((await router.ask()).head.status, 200)
  })

  test('is refused before the queue and the rate of all, and does not use these up', {
    timeout,
  }, async (t) => {
    const { router } = await start(
      t,
      { requestsPerMinute: 1 },
      { rateLimitTokensPerSecond: 2, maxConcurrentRequests: 1, queueSize: 0 },
    )
    assert.equal((await router.ask()).head.status, 200)
    for (let count = 0; count < 5; count++)
      assert.match((await router.ask()).body.bytes.toString(), /tenant_rate_limited/)
    router.use({})
    assert.equal((await router.ask()).head.status, 200, 'there is one left of two a second')
  })
})

test('several processes have one limit together', { timeout }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'router-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'keys.yaml')
  await writeFile(
    file,
    `[{ name: team-a, hash: '${tenantHash}', limits: { requests-per-minute: 60, requests-in-flight: 20 } }]`,
  )
  const worker = await startScriptedWorker(undefined, { t })
  const router = await routerOver([worker], { t, args: ['--processes', '2', '--keys-file', file] })
  const json = { model: 'test-model', prompt: 'hi' }
  const begin = performance.now()
  const statuses: number[] = []
  while (statuses.length < 120) {
    const some = await Promise.all(
      Array.from({ length: 8 }, () =>
        send(router.apiPort, { path: '/v1/completions', json, headers: tenantHeaders }),
      ),
    )
    for (const { head } of some) statuses.push(head.status)
  }
  const passed = statuses.filter((status) => status === 200).length
  const allowed = 60 + (performance.now() - begin) / 1000
  assert.ok(passed >= 57 && passed <= allowed, `${passed} passed, ${allowed} allowed`)
  assert.deepEqual(new Set(statuses), new Set([200, 429]))
  const limited = await router.metric('vllm_router_tenant_limited_total', { tenant: 'team-a' })
  assert.equal(limited, statuses.length - passed)
  const { body } = await send(router.operationsPort, { path: '/limits' })
  const { tenants } = JSON.parse(body.bytes.toString()) as { tenants: { requests: { used: number } }[] }
  assert.equal(tenants.length, 1)
  assert.ok((tenants[0]?.requests.used ?? 0) >= 50)
})
