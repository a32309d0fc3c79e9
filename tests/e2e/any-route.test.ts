/** Model and stream flag are read from the body of any route, also of one that no list knows. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually, within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { answer, chunk, hang, streamHead } from '../support/wire.ts'

const timeout = 30_000
const messages = [{ role: 'user', content: 'hi' }]

const setup = shared(async (t) => {
  const start = (name: string) =>
    startScriptedWorker(undefined, { t, model: name, headers: { 'x-worker-id': name } })
  const workers = [await start('model-a'), await start('model-b')] as const
  const args = ['--first-token-timeout-secs', '0.3', '--disable-circuit-breaker']
  return { workers, router: await routerOver(workers, { t, args }) }
})

const alone = shared(async (t) => {
  const workers = await Promise.all([1, 2].map(() => startScriptedWorker(undefined, { t, model: 'only' })))
  return { workers, router: await routerOver(workers, { t }) }
})

const routes = [
  '/v2/embed',
  '/v1/chat/completions/batch',
  '/v1/chat/completions/render',
  '/v1/completions/derender',
  '/v1/messages/render',
  '/inference/v1/generate',
  '/cohere/v2/chat',
  '/generative_scoring',
  '/v1/systemone',
] as const

/** Who answered each of several requests. */
async function servedBy(request: Parameters<typeof send>[1], times = 4): Promise<string[]> {
  const { router } = await setup()
  const seen = new Set<string>()
  for (let count = 0; count < times; count++) {
    const { head } = await send(router.apiPort, request)
    seen.add(`${head.status} ${head.header('x-worker-id')}`)
  }
  return [...seen]
}

describe('the model is read', () => {
  for (const path of [...routes, '/v9/of/the/future', '/v1/chat/completions/']) {
    test(`from JSON on ${path}`, { timeout }, async () => {
      for (const model of ['model-a', 'model-b'])
        assert.deepEqual(await servedBy({ path, json: { model, messages } }), [`200 ${model}`])
    })
  }

  test('under any content type where no list knows the route, and behind a byte order mark', {
    timeout,
  }, async () => {
    for (const type of ['text/plain', 'application/x-custom', '']) {
      const headers = { 'content-type': type }
      for (const body of ['{"model":"model-b"}', ' \n{"model":"model-b"}', '\uFEFF{"model":"model-b"}']) {
        const request = { method: 'POST', path: '/v9/odd', headers, body }
        assert.deepEqual(await servedBy(request), ['200 model-b'], JSON.stringify([type, body]))
      }
    }
  })

  test('from forms of both kinds', { timeout }, async () => {
    const plain = { 'content-type': 'application/x-www-form-urlencoded' }
    assert.deepEqual(
      await servedBy({ method: 'POST', path: '/v9/form', headers: plain, body: 'a=1&model=model%2Db' }),
      ['200 model-b'],
    )
    const parts = { 'content-type': 'multipart/form-data; boundary=b' }
    const body = '--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nmodel-b\r\n--b--\r\n'
    assert.deepEqual(await servedBy({ method: 'POST', path: '/v9/form', headers: parts, body }), [
      '200 model-b',
    ])
  })

  test('from nothing else: what is no JSON object goes to any worker as it is', { timeout }, async () => {
    for (const body of ['{"model":', '[{"model":"model-b"}]', 'model-b', '{"model":5}']) {
      const headers = { 'content-type': 'application/json' }
      const seen = await servedBy({ method: 'POST', path: '/v9/odd', headers, body })
      assert.deepEqual(seen.sort(), ['200 model-a', '200 model-b'], body)
    }
  })

  test('and counted under the route and the model', { timeout }, async () => {
    const { router } = await setup()
    const labels = { route: '/v2/embed', status: 200 }
    const before = (await router.metric('vllm_router_requests_total', labels)) ?? 0
    await servedBy({ path: '/v2/embed/?a=1', json: { model: 'model-a', texts: ['x'] } }, 1)
    assert.equal(await router.metric('vllm_router_requests_total', labels), before + 1)
    const { workers } = await setup()
    assert.equal(workers[0].requests.at(-1)?.target, '/v2/embed?a=1')
  })
})

describe('the stream flag', () => {
  const silent = [streamHead(), hang]

  for (const [path, stream] of [
    ['/inference/v1/generate', true],
    ['/v1/chat/completions', 'True'],
    ['/v1/chat/completions', 1],
    ['/cohere/v2/chat', 'on'],
  ] as const) {
    test(`${JSON.stringify(stream)} on ${path} limits the time to the first token`, { timeout }, async () => {
      const { workers, router } = await setup()
      for (const worker of workers) worker.route(`POST ${path}`, silent)
      const { head, body } = await send(router.apiPort, {
        path,
        json: { model: 'model-a', messages, stream },
      })
      for (const worker of workers) worker.route(`POST ${path}`, undefined)
      assert.equal(head.status, 504)
      assert.equal(JSON.parse(body.bytes.toString()).error.code, 'first_token_timeout')
    })
  }

  test('off in any spelling limits nothing', { timeout }, async () => {
    const { workers } = await setup()
    for (const stream of [false, 'off', 0, 'No'])
      assert.deepEqual(await servedBy({ path: '/v2/embed', json: { model: 'model-b', stream } }, 1), [
        '200 model-b',
      ])
    assert.equal(workers[1].requests.at(-1)?.json() !== undefined, true)
  })
})

test('a stream of token ids flows from its first token', { timeout }, async () => {
  const { workers, router } = await alone()
  const event = (ids: number[]) =>
    `data: {"request_id":"r","choices":[{"index":0,"logprobs":null,"finish_reason":null,"token_ids":[${ids}]}]}\n\n`
  for (const worker of workers)
    worker.route('POST /inference/v1/generate', [streamHead(), chunk(event([])), chunk(event([7])), hang])
  const json = { token_ids: [1, 2], sampling_params: {}, stream: true }
  const exchange = rawRequest({ port: router.apiPort, path: '/inference/v1/generate', json })
  const head = await within(5000, exchange.head, 'the head of a stream of token ids')
  exchange.abort()
  assert.equal(head.status, 200)
})

describe('a request without a model', () => {
  const without = [undefined, null, ''].map((model) => ({ model, messages }))

  test('goes to the one that the whole fleet serves', { timeout }, async () => {
    const { router } = await alone()
    for (const json of without) {
      const { head } = await send(router.apiPort, { path: '/v1/chat/completions', json })
      assert.equal(head.status, 200)
    }
    const lines = () => router.logs().filter(({ msg, model }) => msg === 'request' && model === 'only')
    await eventually(() => lines().length >= without.length, { what: 'log lines that name the model' })
  })

  test('goes there although workers list adapters and other names too', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const data = [{ id: 'base' }, { id: 'alias' }, { id: 'tuned', parent: 'base' }]
    worker.route('GET /v1/models', answer(200, JSON.stringify({ object: 'list', data })))
    const router = await routerOver([worker], { t })
    const { head } = await send(router.apiPort, { path: '/tokenize', json: { prompt: 'x' } })
    assert.equal(head.status, 200)
  })

  test('is refused where it could mean several', { timeout }, async () => {
    const { workers, router } = await setup()
    const count = (all: readonly ScriptedWorker[]) =>
      all.reduce((sum, { requests }) => sum + requests.length, 0)
    const before = count(workers)
    for (const json of without) {
      const { head, body } = await send(router.apiPort, { path: '/v1/chat/completions', json })
      assert.equal(head.status, 400)
      const { error } = JSON.parse(body.bytes.toString())
      assert.deepEqual([error.code, error.param], ['invalid_request', 'model'])
      assert.match(error.message, /several models .*\/v1\/models/)
    }
    assert.equal(count(workers), before)
  })

  test('passes on a route that needs none', { timeout }, async () => {
    assert.equal((await servedBy({ path: '/v9/odd', json: { a: 1 } }, 1))[0]?.slice(0, 3), '200')
    assert.equal((await servedBy({ path: '/version' }, 1))[0]?.slice(0, 3), '404')
  })
})
