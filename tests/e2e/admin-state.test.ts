/** What the admin routes say about workers, and who may use them. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually } from '../support/deadline.ts'
import { redirect, resetBeforeHead } from '../support/faults.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { answer } from '../support/wire.ts'

const timeout = 30_000
const request = { path: '/v1/completions', json: { model: 'test-model', prompt: 'hi' } }
const quick = ['--health-check-interval-secs', '0.2', '--worker-startup-check-interval', '0.1']

const setup = shared(async (t) => {
  const [one, two] = [
    await startScriptedWorker(undefined, { t }),
    await startScriptedWorker(undefined, { t }),
  ]
  return { one, two, router: await routerOver([one, two], { t, args: quick }) }
})

interface WorkerState {
  readonly id: string
  readonly url: string
  readonly [field: string]: unknown
}

async function states(router: RouterProcess): Promise<WorkerState[]> {
  const { body } = await send(router.operationsPort, { path: '/workers' })
  return JSON.parse(body.bytes.toString()).workers
}

async function stateOf(router: RouterProcess, url: string): Promise<WorkerState> {
  const found = (await states(router)).find((worker) => worker.url === url)
  assert.ok(found !== undefined)
  return found
}

describe('GET /workers', () => {
  test('says of a healthy worker that it is available, and what it serves', { timeout }, async () => {
    const { one, two, router } = await setup()
    const workers = await states(router)
    assert.deepEqual(
      workers.map(({ url }) => url),
      [one.url, two.url],
    )
    for (const {
      id,
      available,
      unavailable_reason,
      health,
      in_flight,
      draining,
      breaker,
      models,
    } of workers) {
      assert.match(id, /^[0-9a-f]{12}$/)
      assert.deepEqual(
        { available, unavailable_reason, health, in_flight, draining, breaker, models },
        {
          available: true,
          unavailable_reason: null,
          health: 'healthy',
          in_flight: 0,
          draining: false,
          breaker: { state: 'closed', reason: null, until: null },
          models: ['test-model'],
        },
      )
    }
    const { body } = await send(router.operationsPort, { path: `/workers/${workers[1]?.id}` })
    assert.equal(JSON.parse(body.bytes.toString()).url, two.url)
  })

  test('says why a breaker is open, and until when', { timeout }, async () => {
    const { one, router } = await setup()
    one.use(resetBeforeHead())
    for (let sent = 0; sent < 12; sent++) assert.equal((await send(router.apiPort, request)).head.status, 200)
    one.use(undefined)
    const { available, unavailable_reason, health, breaker, last_error } = await stateOf(router, one.url)
    assert.deepEqual([available, unavailable_reason, health], [false, 'breaker_open', 'healthy'])
    const { state, reason, until } = breaker as { state: string; reason: string; until: string }
    assert.equal(state, 'open')
    assert.match(reason, /\w/)
    const left = Date.parse(until) - Date.now()
    assert.ok(left > 0 && left < 10_000, `${left} ms`)
    const { at, message } = last_error as { at: string; message: string }
    assert.ok(Math.abs(Date.parse(at) - Date.now()) < 30_000)
    assert.match(message, /reset|closed/i)
    assert.equal(await router.metric('vllm_router_cb_state', { worker: one.url }), 1)
  })

  test('says why a worker is not healthy', { timeout }, async () => {
    const { two, router } = await setup()
    two.route('GET /health', answer(500))
    const sick = await eventually(
      async () => {
        const state = await stateOf(router, two.url)
        return state.health === 'unhealthy' && state
      },
      { what: 'an unhealthy worker' },
    )
    assert.deepEqual([sick.available, sick.unavailable_reason], [false, 'unhealthy'])
    assert.match(String(sick.health_reason), /500/)
    two.route('GET /health', undefined)
    await eventually(async () => (await stateOf(router, two.url)).health === 'healthy', {
      what: 'a healthy worker',
    })
  })
})

describe('POST /flush_cache', () => {
  test('has every worker empty its cache, and says who did not', { timeout }, async () => {
    const { one, two, router } = await setup()
    const flush = async () => {
      const { head, body } = await send(router.operationsPort, {
        method: 'POST',
        path: '/flush_cache',
        body: '',
      })
      return { status: head.status, workers: JSON.parse(body.bytes.toString()).workers }
    }
    assert.deepEqual(await flush(), {
      status: 200,
      workers: [one, two].map(({ url }) => ({ worker: url, ok: true, detail: 'status 200' })),
    })
    for (const { requests } of [one, two])
      assert.equal(requests.filter(({ target }) => target === '/reset_prefix_cache').length, 1)
    two.route('POST /reset_prefix_cache', answer(404))
    const { status, workers } = await flush()
    two.route('POST /reset_prefix_cache', undefined)
    assert.equal(status, 502)
    assert.deepEqual(workers[1], { worker: two.url, ok: false, detail: 'status 404' })
  })
})

describe('the admin routes', () => {
  const lines = [
    ['GET', '/list_workers'],
    ['GET', '/get_loads'],
    ['GET', '/workers'],
    ['POST', '/add_worker?url=http://127.0.0.1:9'],
    ['POST', '/remove_worker?url=http://127.0.0.1:9'],
    ['POST', '/flush_cache'],
    ['POST', '/workers'],
    ['PATCH', '/workers/x'],
    ['DELETE', '/workers/x'],
  ] as const

  test('are refused on the API without an admin key, with a word on how to allow them', {
    timeout,
  }, async () => {
    const { router } = await setup()
    for (const [method, path] of lines) {
      const { head, body } = await send(router.apiPort, { method, path })
      assert.equal(head.status, 403, path)
      assert.match(JSON.parse(body.bytes.toString()).error.message, /--admin-api-key/)
    }
    assert.equal((await send(router.operationsPort, { path: '/list_workers' })).head.status, 200)
  })

  test('need the admin key wherever it is set, and only that one', { timeout }, async (t) => {
    const env = { VLLM_ROUTER_ADMIN_API_KEY: 'admin-key', VLLM_ROUTER_ROUTER_API_KEYS: 'client-key' }
    const router = await routerOver([], { t, env, args: ['--host', '0.0.0.0'] })
    for (const port of [router.apiPort, router.operationsPort]) {
      for (const [method, path] of lines) {
        for (const headers of [{}, { authorization: 'Bearer client-key' }] as Record<string, string>[]) {
          const { head, body } = await send(port, { method, path, headers })
          assert.equal(head.status, 401, path)
          assert.equal(JSON.parse(body.bytes.toString()).error.code, 'invalid_api_key')
        }
      }
      const headers = { authorization: 'Bearer admin-key' }
      assert.equal((await send(port, { path: '/list_workers', headers })).head.status, 200)
    }
    assert.equal((await send(router.operationsPort, { path: '/metrics' })).head.status, 200)
  })

  test('add only workers that --worker-url-allow names', { timeout }, async (t) => {
    const router = await routerOver([], {
      t,
      args: [...quick, '--worker-url-allow', '127.0.0.0/8', '*.gpu.internal'],
    })
    const worker = await startScriptedWorker(undefined, { t })
    const add = async (url: string) => {
      const { head, body } = await send(router.operationsPort, {
        method: 'POST',
        path: '/workers',
        json: { url },
      })
      return { status: head.status, body: JSON.parse(body.bytes.toString()) }
    }
    for (const url of [
      'http://169.254.169.254',
      'http://example.com:8000',
      'http://gpu.internal.example.com',
    ]) {
      const { status, body } = await add(url)
      assert.deepEqual([status, body.error.code, body.error.param], [403, 'forbidden', 'url'], url)
    }
    const { status, body } = await add(worker.url)
    assert.deepEqual([status, body.url], [201, worker.url])
    for (const wrong of [undefined, 5]) {
      const refused = await send(router.operationsPort, {
        method: 'POST',
        path: '/workers',
        json: { url: wrong },
      })
      assert.equal(refused.head.status, 400)
    }
  })
})

test('a redirect of a worker is followed nowhere', { timeout }, async (t) => {
  const { two, router } = await setup()
  const elsewhere = await startScriptedWorker(undefined, { t })
  two.use(redirect(`${elsewhere.url}/v1/completions`))
  t.after(() => two.use(undefined))
  // The breaker of the other worker may still be open, or not.
  const answers = await Promise.all([1, 2, 3].map(() => send(router.apiPort, request)))
  for (const { head, body } of answers) {
    assert.equal(head.header('location'), undefined)
    if (head.status !== 200) {
      assert.equal(head.status, 502)
      assert.equal(JSON.parse(body.bytes.toString()).error.code, 'bad_worker_response')
    }
  }
  assert.ok(two.requests.length > 0)
  assert.equal(elsewhere.connections.length, 0)
})
