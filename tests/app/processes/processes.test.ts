/** Two processes on one port: what is seen of them from outside is one router. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { eventually, eventuallyHolds, within } from '../../support/deadline.ts'
import { metricValue } from '../../support/metrics.ts'
import { answeredBy, processPids } from '../../support/process-pids.ts'
import { type RawRequestOptions, rawRequest } from '../../support/raw-client.ts'
import { routerOver } from '../../support/router-over.ts'
import { runRouter } from '../../support/router-process.ts'
import { startScriptedWorker } from '../../support/scripted-worker.ts'
import { shared } from '../../support/shared.ts'
import { hang } from '../../support/wire.ts'

const timeout = 30_000
const path = '/v1/completions'
const sent = 60

const setup = shared(async (t) => {
  const workers = await Promise.all([0, 1].map(() => startScriptedWorker(undefined, { t })))
  const env = { VLLM_ROUTER_ADMIN_API_KEY: 'admin-key' }
  const router = await routerOver(workers, { t, env, args: ['--processes', '2'] })
  const headers = { authorization: 'Bearer admin-key' }
  const ask = (request: RawRequestOptions, port = router.operationsPort) =>
    within(5000, rawRequest({ port, headers, ...request }).text(), request.path ?? '')
  const complete = () => ask({ path, json: { model: 'test-model', prompt: 'hi' } }, router.apiPort)
  return { workers, router, ask, complete }
})

interface Seen {
  readonly url: string
  readonly id: string
  readonly health: string
  readonly draining: boolean
  readonly in_flight: number
}

async function seen(): Promise<readonly Seen[]> {
  const { ask } = await setup()
  return (JSON.parse((await ask({ path: '/workers' })).text) as { workers: Seen[] }).workers
}

describe('two processes', () => {
  test('both serve, and the metrics are the sums of what was sent', { timeout }, async () => {
    const { router, workers, complete } = await setup()
    const answers = await Promise.all(Array.from({ length: sent }, complete))
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
    await eventuallyHolds(() => assert.equal(answeredBy(router, path).size, 2), {
      what: 'lines of both processes',
    })
    const metrics = await router.metrics()
    const count = (name: string, labels = {}) => metricValue(metrics, `vllm_router_${name}`, labels)
    assert.equal(count('requests_total', { route: path, status: '200' }), sent)
    assert.equal(count('generate_duration_seconds_count', { route: path }), sent)
    assert.equal(count('cb_outcomes_total', { outcome: 'success' }), sent)
    for (const { url, requests } of workers)
      assert.equal(count('processed_requests_total', { worker: url }), requests.length)
    assert.equal(count('running_requests'), 0)
    assert.equal(count('active_workers'), 2, 'no sum')
    assert.equal(count('build_info'), 1, 'no sum')
    assert.equal(count('processes'), 2)
    assert.equal(count('process_restarts_total'), 0)
  })

  test('it is said once where they listen, and each other line says whose it is', { timeout }, async () => {
    const { router } = await setup()
    const logs = router.logs()
    assert.equal(logs.filter(({ msg }) => msg === 'listening').length, 1)
    assert.equal(logs.find(({ msg }) => msg === 'listening')?.processes, 2)
    assert.deepEqual(
      logs.filter(({ notJson }) => notJson !== undefined),
      [],
    )
    const added = logs.filter(({ msg }) => msg === 'worker added')
    assert.deepEqual(added.map((line) => line.process).sort(), [1, 1, 2, 2])
  })

  test('probes on both ports answer for all', { timeout }, async () => {
    const { router, ask } = await setup()
    for (const port of [router.apiPort, router.operationsPort]) {
      assert.equal((await ask({ path: '/liveness' }, port)).text, 'OK')
      assert.equal((await ask({ path: '/health' }, port)).text, 'All servers healthy')
      const ready = await ask({ path: '/readiness' }, port)
      assert.deepEqual(JSON.parse(ready.text), {
        status: 'ready',
        workers: { total: 2, available: 2 },
        healthy_workers: 2,
        total_workers: 2,
      })
    }
  })

  test('what an operator does holds in every process at once, on whichever port it is said', {
    timeout,
  }, async (t) => {
    const { router, ask, complete, workers } = await setup()
    const third = await startScriptedWorker(undefined, { t })
    const added = await ask({ method: 'POST', path: `/add_worker?url=${third.url}` }, router.apiPort)
    assert.deepEqual(added, { status: 200, text: `Successfully added worker: ${third.url}` })
    const twice = await ask({ method: 'POST', path: `/add_worker?url=${third.url}` })
    assert.equal(twice.status, 400)
    assert.deepEqual(
      (await seen()).map(({ url }) => url),
      [...workers.map(({ url }) => url), third.url],
    )
    for (const { id } of (await seen()).slice(0, 2)) {
      const drained = await ask({ method: 'PATCH', path: `/workers/${id}`, json: { draining: true } })
      assert.equal(drained.status, 200)
    }
    const before = third.requests.length
    const answers = await Promise.all(Array.from({ length: 30 }, complete))
    assert.ok(answers.every(({ status }) => status === 200))
    assert.equal(third.requests.length - before, 30, 'the others drain, in both processes')
    for (const { id } of (await seen()).slice(0, 2)) {
      await ask({ method: 'PATCH', path: `/workers/${id}`, json: { draining: false } }, router.apiPort)
    }
    const removed = await ask({ method: 'POST', path: `/remove_worker?url=${third.url}` })
    assert.equal(removed.status, 200)
    await Promise.all(Array.from({ length: 30 }, complete))
    assert.equal(third.requests.length - before, 30, 'it gets nothing more')
    assert.equal((await ask({ path: `/workers/${third.url}` })).status, 404)
    assert.equal(
      await router.metric('vllm_router_processed_requests_total', { worker: third.url }),
      undefined,
    )
  })

  test('requests in flight of a worker are those of all processes', { timeout }, async (t) => {
    const { router, workers } = await setup()
    const json = { model: 'test-model', prompt: 'hi', stream: true }
    for (const worker of workers) worker.use([hang])
    t.after(() => {
      for (const worker of workers) worker.use(undefined)
    })
    const streams = Array.from({ length: 20 }, () => rawRequest({ port: router.apiPort, path, json }))
    t.after(() => {
      for (const stream of streams) stream.abort()
    })
    const total = async () => (await seen()).reduce((sum, { in_flight }) => sum + in_flight, 0)
    await eventually(async () => (await total()) === 20, { what: '20 in flight' })
    assert.equal(await router.metric('vllm_router_running_requests'), 20)
    for (const stream of streams) stream.abort()
    await eventually(async () => (await total()) === 0, { what: 'none in flight' })
  })

  test('another router is told that the port is in use, whatever its number of processes', {
    timeout,
  }, async () => {
    const { router } = await setup()
    for (const processes of ['1', '2']) {
      const args = ['--port', String(router.apiPort), '--processes', processes]
      const { code, stderr } = await runRouter({ args })
      assert.equal(code, 1)
      assert.match(stderr, /the port is in use by another process/)
    }
  })

  test('code of the configuration runs in both', { timeout }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'router-'))
    t.after(() => rm(folder, { recursive: true }))
    const file = join(folder, 'router.config.mjs')
    await writeFile(
      file,
      `export default {
        processes: 2,
        middleware: [async (c, next) => { await next(); c.res.headers.set('x-process', String(process.pid)) }],
      }`,
    )
    const { workers } = await setup()
    const router = await routerOver(workers, { t, args: ['--config', file] })
    const json = { model: 'test-model', prompt: 'hi' }
    const asked = Array.from({ length: 30 }, () => rawRequest({ port: router.apiPort, path, json }))
    const heads = await within(10_000, Promise.all(asked.map(({ head }) => head)), 'all answers')
    const pids = new Set(heads.map(({ header }) => Number(header('x-process'))))
    assert.deepEqual([...pids].sort(), processPids(router).sort())
  })

  test('the verb of a process is not for people', { timeout }, async () => {
    const { code, stderr } = await runRouter({ args: ['process'] })
    assert.equal(code, 2)
    assert.match(stderr, /use --processes/)
  })
})
