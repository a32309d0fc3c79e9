/** Workers come and go while the router runs: the admin routes, in the words of the Rust router and as REST. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually, within } from '../support/deadline.ts'
import { holdStreams } from '../support/held-stream.ts'
import { samplesOf } from '../support/metrics.ts'
import { type RawRequestOptions, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { answer } from '../support/wire.ts'

const timeout = 30_000
const path = '/v1/chat/completions'
const json = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }] }

const named = (t: Scope, name: string) =>
  startScriptedWorker(undefined, { t, headers: { 'x-worker-id': name } })

const setup = shared(async (t) => {
  const [one, two] = [await named(t, 'one'), await named(t, 'two')]
  const args = ['--worker-startup-timeout-secs', '1', '--worker-startup-check-interval', '0.05']
  const router = await routerOver([one, two], { t, args: [...args, '--health-check-interval-secs', '0.2'] })
  return { one, two, router }
})

/** One admin request on the operations listener, its body as text and, where it is some, as JSON. */
async function admin(router: RouterProcess, line: string, options: RawRequestOptions = {}) {
  const [method = '', target = ''] = line.split(' ')
  const { head, body } = await send(router.operationsPort, { ...options, method, path: target })
  const text = body.bytes.toString()
  const isJson = head.header('content-type')?.includes('json') ?? false
  return { status: head.status, text, json: isJson ? JSON.parse(text) : undefined }
}

/** Who answers the next requests. */
async function servedBy(router: RouterProcess, requests = 6): Promise<string[]> {
  const seen = new Set<string>()
  for (let request = 0; request < requests; request++) {
    const { head } = await send(router.apiPort, { path, json })
    assert.equal(head.status, 200)
    seen.add(head.header('x-worker-id') ?? '')
  }
  return [...seen].sort()
}

/** A stream that the worker holds after its first token until the test lets it go on. */
async function heldStream(router: RouterProcess, worker: ScriptedWorker) {
  const gate = Promise.withResolvers<void>()
  holdStreams(worker, gate.promise)
  const before = worker.requests.length
  // Round robin: of two in a row, one is for this worker; the other one ends by itself.
  const streams = [0, 1].map(() =>
    rawRequest({ port: router.apiPort, path, json: { ...json, stream: true } }),
  )
  await within(5000, worker.received(before + 1), 'a stream at the worker')
  await Promise.all(streams.map((stream) => within(5000, stream.firstEvents(2), 'a first token')))
  const ends = Promise.all(streams.map(({ body }) => body))
  return {
    finish: async () => {
      gate.resolve()
      const bodies = await within(5000, ends, 'the ends of the streams')
      worker.use(undefined)
      return bodies.every(({ complete, bytes }) => complete && bytes.toString().endsWith('data: [DONE]\n\n'))
    },
  }
}

describe('POST /add_worker', () => {
  test('answers once the worker is healthy, and the worker is used', { timeout }, async (t) => {
    const { one, two, router } = await setup()
    const three = await named(t, 'three')
    three.route('GET /health', answer(503))
    const adding = admin(router, `POST /add_worker?url=${three.url}/`)
    await eventually(() => three.probes.length > 1, { what: 'probes' })
    assert.equal(await Promise.race([adding.then(() => 'answered'), Promise.resolve('not yet')]), 'not yet')
    assert.deepEqual(await servedBy(router), ['one', 'two'])
    three.route('GET /health', undefined)
    assert.deepEqual(await adding, {
      status: 200,
      text: `Successfully added worker: ${three.url}`,
      json: undefined,
    })
    assert.deepEqual((await admin(router, 'GET /list_workers')).json, { urls: [one.url, two.url, three.url] })
    assert.deepEqual(await servedBy(router, 9), ['one', 'three', 'two'])

    const again = await admin(router, `POST /add_worker?url=${three.url.toUpperCase()}`)
    assert.deepEqual([again.status, again.json.error.code], [400, 'invalid_request'])
    assert.match(again.json.error.message, /registered already/)

    const gone = await admin(router, `POST /remove_worker?url=${three.url}`)
    assert.deepEqual([gone.status, gone.text], [200, `Successfully removed worker: ${three.url}`])
    assert.deepEqual(await servedBy(router), ['one', 'two'])
    assert.deepEqual(samplesOf(await router.metrics(), 'vllm_router_cb_state', { worker: three.url }), [])
  })

  test('starts the series of the new worker at zero', { timeout }, async (t) => {
    const { router } = await setup()
    const three = await named(t, 'three')
    await admin(router, `POST /add_worker?url=${three.url}`)
    t.after(() => admin(router, `POST /remove_worker?url=${three.url}`))
    const worker = { worker: three.url }
    for (const name of ['processed_requests_total', 'running_requests', 'cb_state', 'cb_outcomes_total'])
      assert.equal(await router.metric(`vllm_router_${name}`, worker), 0, name)
    assert.equal(await router.metric('vllm_router_worker_health', worker), 1)
  })

  test('gives up on a worker that is not healthy in time, and forgets it', { timeout }, async (t) => {
    const { one, two, router } = await setup()
    const sick = await named(t, 'sick')
    sick.route('GET /health', answer(503))
    const { status, json: body } = await admin(router, `POST /add_worker?url=${sick.url}`)
    assert.deepEqual([status, body.error.code], [400, 'invalid_request'])
    assert.match(body.error.message, /not healthy within 1 s.*503/)
    assert.deepEqual((await admin(router, 'GET /list_workers')).json, { urls: [one.url, two.url] })
  })

  test('refuses what is no worker URL', { timeout }, async () => {
    const { router } = await setup()
    for (const url of ['ftp://gpu1', 'gpu1:8000', 'http://user:secret@gpu1:8000', 'http://', '']) {
      const {
        status,
        text,
        json: body,
      } = await admin(router, `POST /add_worker?url=${encodeURIComponent(url)}`)
      assert.equal(status, 400, url)
      assert.equal(body.error.param, 'url')
      assert.doesNotMatch(text, /secret/)
    }
    assert.equal((await admin(router, 'POST /add_worker')).status, 400)
    assert.equal((await admin(router, 'POST /remove_worker?url=http://127.0.0.1:1')).status, 404)
    assert.equal((await admin(router, 'GET /add_worker?url=http://127.0.0.1:1')).status, 405)
  })
})

describe('a worker that is removed', () => {
  for (const [what, line] of [
    ['POST /remove_worker', (worker: ScriptedWorker) => `POST /remove_worker?url=${worker.url}`],
    ['DELETE /workers/{id}', (_: ScriptedWorker, id: string) => `DELETE /workers/${id}`],
  ] as const) {
    test(`by ${what} finishes what it has and gets nothing more`, { timeout }, async () => {
      const { two, router } = await setup()
      const { id } = (await admin(router, 'GET /workers')).json.workers.find(
        ({ url }: { url: string }) => url === two.url,
      )
      const { finish } = await heldStream(router, two)
      const { status } = await admin(router, line(two, id))
      assert.ok(status === 200 || status === 204)
      assert.deepEqual(await servedBy(router, 4), ['one'])
      assert.equal((await admin(router, `GET /workers/${id}`)).status, 404)
      assert.ok(await finish(), 'the stream came to its end')
      assert.equal((await admin(router, `POST /add_worker?url=${two.url}`)).status, 200)
      assert.equal(await router.metric('vllm_router_running_requests', { worker: two.url }), 0)
      assert.deepEqual(await servedBy(router), ['one', 'two'])
    })
  }
})

describe('PATCH /workers/{id}', () => {
  test('drains a worker, which finishes what it has, and takes that back', { timeout }, async () => {
    const { two, router } = await setup()
    const { workers } = (await admin(router, 'GET /workers')).json
    const { id } = workers.find(({ url }: { url: string }) => url === two.url)
    const { finish } = await heldStream(router, two)
    const set = (draining: unknown) => admin(router, `PATCH /workers/${id}`, { json: { draining } })

    const drained = await set(true)
    assert.equal(drained.status, 200)
    const { draining, available, unavailable_reason, in_flight, health } = drained.json
    assert.deepEqual([draining, available, unavailable_reason, health], [true, false, 'draining', 'healthy'])
    assert.ok(in_flight >= 1)
    assert.deepEqual(
      (await admin(router, 'GET /get_loads')).json.workers.map(({ load }: { load: number }) => load > 0),
      [false, true],
    )
    assert.deepEqual(await servedBy(router, 4), ['one'])
    assert.equal(await router.metric('vllm_router_active_workers'), 1)
    assert.ok(await finish(), 'the stream came to its end')

    assert.equal((await set(false)).json.available, true)
    assert.deepEqual(await servedBy(router), ['one', 'two'])
    for (const wrong of ['yes', undefined, null]) {
      const { status, json: body } = await set(wrong)
      assert.deepEqual([status, body.error.param], [400, 'draining'])
    }
    assert.equal((await admin(router, 'PATCH /workers/nobody', { json: { draining: true } })).status, 404)
    assert.equal((await admin(router, `PUT /workers/${id}`, { json: {} })).status, 405)
  })
})
