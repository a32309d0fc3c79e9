/** Usage of a whole router: what it tells is what its metrics say, and what it keeps through restarts and faults of the disk. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import pino from 'pino'
import { createGateway, type GatewayParts } from '../../../app/gateway/gateway.ts'
import { openDatabase } from '../../../app/runtime/sqlite.ts'
import { eventually, within } from '../../support/deadline.ts'
import { rawRequest } from '../../support/raw-client.ts'
import type { Scope } from '../../support/scope.ts'
import { startScriptedWorker } from '../../support/scripted-worker.ts'
import { assertSameAsMetrics, begin, usageOf, use, withTenants } from '../../support/usage-router.ts'
import { wait } from '../../support/wire.ts'

const timeout = 30_000

async function setUp(t: Scope) {
  const usageDir = await mkdtemp(join(tmpdir(), 'usage-'))
  t.after(() => rm(usageDir, { recursive: true, force: true }))
  const worker = await startScriptedWorker(undefined, { t, tokens: 6 })
  const said: Record<string, unknown>[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void said.push(JSON.parse(line)) })
  const options = {
    ...{ usageDir, workerUrls: [worker.url], port: 0, prometheusPort: 0, shutdownSettleSecs: 0 },
    ...withTenants('a', 'b', 'c'),
  }
  async function start(more: object = {}, parts: GatewayParts = { log }) {
    const gateway = await createGateway({ ...options, ...more }, parts)
    t.after(() => gateway.close())
    const { api, operations } = await gateway.start()
    const [apiPort = 0, operationsPort = 0] = [api, operations].map((url) => Number(new URL(url).port))
    return { ...gateway, apiPort, operationsPort }
  }
  return { options, usageDir, worker, start, said }
}

test('is told by tenant and model, the same as in the metrics, and stays through a restart', {
  timeout,
}, async (t) => {
  const { worker, start } = await setUp(t)
  const router = await start()
  for (let time = 0; time < 6; time++) await use(router, 'a')
  for (let time = 0; time < 3; time++) await use(router, 'b', { stream: true })
  await use(router, 'b', { stream: true, stream_options: { include_usage: true } })
  await use(router, undefined)

  // A client reads two events of a stream and leaves.
  worker.use((request) => [...worker.healthy(request).slice(0, 4), wait(60_000)])
  const left = begin(router, 'c', { stream: true })
  await within(5000, left.firstEvents(2), 'two events')
  left.abort()
  worker.use(undefined)
  await eventually(async () => (await usageOf(router, '?tenant=c')).total.requests === 1, { what: 'its end' })

  const { hours, total, lasts } = await usageOf(router)
  assert.ok(hours.every(({ model }) => model === 'test-model') && lasts)
  const of = async (query: string) => (await usageOf(router, query)).total
  assert.deepEqual(
    [
      (await of('?tenant=a')).requests,
      (await of('?tenant=b')).requests,
      (await of('?tenant=')).requests,
      (await of('?tenant=nobody')).requests,
      (await of('?tenant=a&model=other')).requests,
    ],
    [6, 4, 1, 0, 0],
  )
  assert.deepEqual(
    [(await of('?tenant=a')).unmetered_requests, (await of('?tenant=b')).unmetered_requests],
    [0, 3],
  )
  assert.deepEqual(
    [(await of('?tenant=b')).completion_tokens, (await of('?tenant=a')).completion_tokens],
    [24, 36],
  )
  const gone = await of('?tenant=c')
  assert.ok(gone.completion_tokens >= 2 && gone.completion_tokens < 6, 'what it got')
  assert.ok(gone.worker_seconds > 0 && gone.unmetered_requests === 1)
  await assertSameAsMetrics(router)

  await use(router, 'a')
  await router.stop()
  const again = await start()
  assert.equal((await usageOf(again)).total.requests, total.requests + 1, 'with what was counted last')
  await use(again, 'a')
  assert.equal((await usageOf(again, '?tenant=a')).total.requests, 8)
})

test('is shared out when requests are on a worker at the same time', { timeout }, async (t) => {
  const { worker, start } = await setUp(t)
  const router = await start()
  worker.use((request) => [wait(300), ...worker.healthy(request)])
  const startedAt = performance.now()
  await Promise.all(['a', 'a', 'b', 'c'].map((tenant) => use(router, tenant)))
  const seconds = (performance.now() - startedAt) / 1000
  const { hours, total } = await usageOf(router)
  assert.ok(total.worker_seconds >= 0.29 && total.worker_seconds <= seconds, `${total.worker_seconds} s`)
  for (const { tenant, worker_seconds } of hours) {
    const share = worker_seconds / total.worker_seconds
    assert.ok(Math.abs(share - (tenant === 'a' ? 1 / 2 : 1 / 4)) < 0.15, `${tenant} has ${share}`)
  }
})

test('a disk that cannot be written stops no request; what was counted is written later', {
  timeout,
}, async (t) => {
  const { usageDir, start, said } = await setUp(t)
  const router = await start()
  await use(router, 'a')
  assert.equal((await usageOf(router)).total.requests, 1)
  const database = await openDatabase(join(usageDir, 'usage.sqlite'))
  database.exec('BEGIN EXCLUSIVE')
  for (let time = 0; time < 5; time++) await use(router, 'a')
  const lines = (what: string) => said.filter(({ msg }) => String(msg).startsWith(what))
  await eventually(() => lines('usage could not be written').length > 0, { what: 'a line', withinMs: 15_000 })
  assert.match(String(lines('usage could not be written')[0]?.reason), /locked|busy/)
  const metrics = await rawRequest({ port: router.operationsPort, path: '/metrics' }).text()
  assert.match(metrics.text, /vllm_router_usage_write_errors_total [1-9]/)
  const { status, text } = await rawRequest({ port: router.operationsPort, path: '/usage' }).text()
  assert.equal(status, 500, 'rather nothing than not all')
  assert.match(text, /usage cannot be told while it cannot be written/)
  for (let time = 0; time < 5; time++) await use(router, 'a')
  database.exec('ROLLBACK')
  database.close()
  assert.equal((await usageOf(router)).total.requests, 11)
  assert.equal(lines('usage is written again').length, 1)
  assert.equal(lines('usage could not be written').length, 1, 'said once')
})

test('a file that is broken is told of, and stops nothing', { timeout }, async (t) => {
  const { usageDir, start, said } = await setUp(t)
  const file = join(usageDir, 'usage.sqlite')
  await writeFile(file, 'no database'.repeat(1000))
  const router = await start()
  await use(router, 'a')
  const isTold = () => said.some(({ reason }) => /not a database/.test(String(reason)))
  await eventually(isTold, { what: 'a line of the log', withinMs: 15_000 })
  await rm(file)
  assert.equal((await usageOf(router)).total.requests, 1)
})

test('a directory that cannot be is a fault of the configuration', { timeout }, async (t) => {
  const { usageDir, options } = await setUp(t)
  const file = join(usageDir, 'file')
  await writeFile(file, '')
  await assert.rejects(createGateway({ ...options, usageDir: join(file, 'within') }), /usage-dir/)
})

test('another configuration loses nothing and may keep it for longer', { timeout }, async (t) => {
  const { options, start } = await setUp(t)
  const router = await start()
  for (let time = 0; time < 3; time++) await use(router, 'a')
  router.reconfigure({ ...options, usageRetentionDays: 40 })
  await use(router, 'a')
  const { total, retention_days } = await usageOf(router)
  assert.deepEqual([total.requests, retention_days], [4, 40])
  await assertSameAsMetrics(router)
  // The tenant is gone: its series go, what it has used stays.
  router.reconfigure({ ...options, ...withTenants('b') })
  await use(router, 'b')
  const { text } = await rawRequest({ port: router.operationsPort, path: '/metrics' }).text()
  assert.doesNotMatch(text, /vllm_router_usage_\w+\{tenant="a"/)
  assert.match(text, /vllm_router_usage_requests_total\{tenant="b",model="test-model"\} 1/)
  assert.deepEqual(
    (await usageOf(router)).hours.map(({ tenant, requests }) => [tenant, requests]),
    [
      ['a', 4],
      ['b', 1],
    ],
  )
})

test('without a directory it is kept as long as the router runs', { timeout }, async (t) => {
  const { start } = await setUp(t)
  const router = await start({ usageDir: undefined })
  await use(router, 'a')
  await assertSameAsMetrics(router)
  assert.equal((await usageOf(router)).lasts, false)
})

test('is CSV for those who ask for that, by Accept or by a parameter', { timeout }, async (t) => {
  const { start } = await setUp(t)
  const router = await start({ usageDir: undefined })
  await use(router, 'a')
  const get = (query: string, accept?: string) => {
    const headers: Record<string, string> = accept === undefined ? {} : { accept }
    return rawRequest({ port: router.operationsPort, path: `/usage${query}`, headers })
  }
  for (const exchange of [get('?format=csv'), get('', 'text/csv'), get('?format=csv', 'application/json')]) {
    assert.match((await exchange.head).header('content-type') ?? '', /^text\/csv/)
    const [names, line] = (await exchange.text()).text.split('\r\n')
    assert.match(names ?? '', /^hour,tenant,model,requests,/)
    assert.match(line ?? '', /^\d{4}-\d\d-\d\dT\d\d:00:00.000Z,a,test-model,1,/)
  }
  for (const wrong of ['?format=xml', '?from=yesterday', '?to=2026-13-01', '?tenat=a']) {
    const { status, text } = await get(wrong).text()
    assert.equal(status, 400, wrong)
    assert.equal(JSON.parse(text).error.code, 'invalid_request')
  }
  const day = (ms: number) => new Date(Date.now() + ms).toISOString().slice(0, 10)
  assert.equal((await usageOf(router, `?from=2026-01-01&to=${day(86_400_000)}`)).total.requests, 1)
  assert.equal((await usageOf(router, `?from=${day(86_400_000)}`)).total.requests, 0)
  assert.equal((await usageOf(router, '?to=2026-01-01T10:00')).total.requests, 0)
})
