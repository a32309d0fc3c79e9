/** Every route of a vLLM server is there, and goes to a worker; those that change a worker need the admin key. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { answer } from '../support/wire.ts'

const timeout = 30_000
const model = 'test-model'
const messages = [{ role: 'user', content: 'hi' }]

const behind = (...args: string[]) =>
  shared(async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    return { worker, router: await routerOver([worker], { t, args }) }
  })

const plain = behind()
const guarded = behind('--admin-api-key', 'admin-key')

const bodies: Readonly<Record<string, object>> = {
  '/v1/chat/completions': { model, messages },
  '/v1/completions': { model, prompt: 'hi' },
  '/v1/embeddings': { model, input: 'hi' },
  '/v1/responses': { model, input: 'hi' },
  '/v1/messages': { model, messages, max_tokens: 5 },
  '/v1/messages/count_tokens': { model, messages },
  '/v1/rerank': { model, query: 'q', documents: ['d'] },
  '/v2/rerank': { model, query: 'q', documents: ['d'] },
  '/rerank': { model, query: 'q', documents: ['d'] },
  '/v1/score': { model, text_1: 'a', text_2: 'b' },
  '/score': { model, text_1: 'a', text_2: 'b' },
  '/classify': { model, input: 'hi' },
  '/pooling': { model, input: 'hi' },
  '/tokenize': { model, prompt: 'hi' },
  '/detokenize': { model, tokens: [1, 2] },
  '/generate': { prompt: 'hi' },
  '/invocations': { model, messages },
}

describe('a request to', () => {
  for (const [path, json] of Object.entries(bodies)) {
    test(`${path} goes to a worker and is counted under its route`, { timeout }, async () => {
      const { worker, router } = await plain()
      const before = worker.requests.length
      const { head } = await send(router.apiPort, { path: `${path}?a=1`, json })
      assert.equal(head.status, 200)
      assert.equal(head.header('x-worker-id'), 'scripted')
      assert.equal(worker.requests.length, before + 1)
      assert.equal(worker.requests[before]?.target, `${path}?a=1`)
      assert.equal(await router.metric('vllm_router_requests_total', { route: path, status: 200 }), 1)
    })
  }

  for (const path of ['/v1/audio/transcriptions', '/v1/audio/translations']) {
    test(`${path} goes to a worker as the form that it is`, { timeout }, async () => {
      const { worker, router } = await plain()
      const body = `--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n${model}\r\n--b--\r\n`
      const headers = { 'content-type': 'multipart/form-data; boundary=b' }
      const { head } = await send(router.apiPort, { method: 'POST', path, headers, body })
      assert.equal(head.status, 200)
      assert.equal(worker.requests.at(-1)?.body.toString(), body)
      assert.equal(await router.metric('vllm_router_requests_total', { route: path }), 1)
    })
  }

  test('a stored response, by GET, goes to a worker', { timeout }, async () => {
    const { worker, router } = await plain()
    worker.route('GET /v1/responses/resp_1', answer(200, '{"id":"resp_1"}'))
    const { head, body } = await send(router.apiPort, { path: '/v1/responses/resp_1?include=x' })
    assert.deepEqual([head.status, body.bytes.toString()], [200, '{"id":"resp_1"}'])
    assert.equal(worker.probes.at(-1)?.target, '/v1/responses/resp_1?include=x')
  })

  test('a path that the worker does not know gets a 404 that clients can read', { timeout }, async () => {
    const { worker, router } = await plain()
    worker.route('POST /no/such/path', answer(404, '{"detail":"Not Found"}'))
    for (const method of ['GET', 'POST']) {
      const { head, body } = await send(router.apiPort, { method, path: '/no/such/path?x=secret' })
      assert.equal(head.status, 404)
      const { error } = JSON.parse(body.bytes.toString())
      assert.equal(error.code, 'not_found')
      assert.equal(error.message, `the worker has no route ${method} "/no/such/path"`)
    }
    // Such paths come from clients: they must not become series of their own.
    assert.equal(await router.metric('vllm_router_requests_total', { route: '/no/such/path' }), undefined)
  })

  for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD']) {
    test(`some path by ${method} goes to a worker as ${method}`, { timeout }, async () => {
      const { worker, router } = await plain()
      worker.route(`${method} /v1/things/1`, answer(202, method === 'HEAD' ? '' : 'yes'))
      const { head } = await send(router.apiPort, { method, path: '/v1/things/1' })
      assert.equal(head.status, 202)
      const all = [...worker.requests, ...worker.probes]
      assert.ok(all.some((request) => request.method === method && request.target === '/v1/things/1'))
    })
  }

  test("one of the router's own routes by the wrong method gets 405", { timeout }, async () => {
    const { router } = await plain()
    for (const [path, allow] of [
      ['/v1/models', 'GET'],
      ['/health', 'GET'],
      ['/readiness', 'GET'],
      ['/list_workers', 'GET'],
    ] as const) {
      const port = path === '/list_workers' ? router.operationsPort : router.apiPort
      const { head, body } = await send(port, { method: 'POST', path })
      assert.deepEqual([head.status, head.header('allow')], [405, allow], path)
      assert.equal(JSON.parse(body.bytes.toString()).error.code, 'method_not_allowed')
    }
  })
})

describe('a slash at the end', () => {
  test('makes no other route, of the router or of a worker', { timeout }, async () => {
    const { worker, router } = await plain()
    for (const path of ['/v1/models/', '/health/', '/readiness/'])
      assert.equal((await send(router.apiPort, { path })).head.status, 200, path)
    const { head } = await send(router.apiPort, {
      path: '/v1/completions/?a=/b/',
      json: bodies['/v1/completions'] ?? {},
    })
    assert.equal(head.status, 200)
    assert.equal(worker.requests.at(-1)?.target, '/v1/completions?a=/b/')
  })
})

test('a WebSocket is refused by name, and reaches no worker', { timeout }, async () => {
  const { worker, router } = await plain()
  const before = worker.probes.filter(({ path }) => path === '/v1/realtime').length
  const headers = {
    upgrade: 'websocket',
    connection: 'Upgrade',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-version': '13',
  }
  const { head, body } = await send(router.apiPort, { path: '/v1/realtime?model=m', headers })
  assert.equal(head.status, 501)
  const { error } = JSON.parse(body.bytes.toString())
  assert.equal(error.code, 'websocket_not_supported')
  assert.match(error.message, /\/v1\/realtime/)
  assert.equal(worker.probes.filter(({ path }) => path === '/v1/realtime').length, before)
})

test('HEAD, OPTIONS and methods that a route does not have get what the worker says', {
  timeout,
}, async () => {
  const { worker, router } = await plain()
  const detail = '{"detail":"Method Not Allowed"}'
  for (const method of ['HEAD', 'OPTIONS', 'GET']) {
    worker.route(
      `${method} /v1/chat/completions`,
      answer(405, method === 'HEAD' ? '' : detail, { allow: 'POST' }),
    )
    const { head, body } = await send(router.apiPort, { method, path: '/v1/chat/completions' })
    assert.deepEqual([head.status, head.header('allow')], [405, 'POST'], method)
    assert.equal(body.bytes.toString(), method === 'HEAD' ? '' : detail)
  }
  // Of an older vLLM, and of other servers; the newest answers 404.
  worker.route('GET /health_generate', answer(200))
  assert.equal((await send(router.apiPort, { path: '/health_generate' })).head.status, 200)
})

describe('the methods of proxies', () => {
  const post = { method: 'POST', path: '/v1/completions', headers: { 'content-type': 'application/json' } }

  test('TRACE is refused', { timeout }, async () => {
    const { worker, router } = await plain()
    const { head, body } = await send(router.apiPort, { method: 'TRACE', path: '/v1/things' })
    assert.equal(head.status, 405)
    assert.match(head.header('allow') ?? '', /GET, HEAD, POST/)
    assert.equal(JSON.parse(body.bytes.toString()).error.code, 'method_not_allowed')
    assert.ok(!worker.requests.some(({ method }) => method === 'TRACE'))
  })

  test('CONNECT makes no tunnel, and no worker is blamed for it', { timeout }, async () => {
    const { worker, router } = await plain()
    const before = worker.requests.length
    for (let attempt = 0; attempt < 6; attempt++) {
      const bytes = 'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n'
      const exchange = rawRequest({ port: router.apiPort, method: 'CONNECT', bytes })
      // Node closes the connection without a word.
      const status = await exchange.head.then(
        (head) => head.status,
        () => 'closed',
      )
      exchange.abort()
      assert.ok(status === 405 || status === 'closed', String(status))
    }
    assert.equal(worker.requests.length, before)
    assert.equal(await router.metric('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 0)
    const { head } = await send(router.apiPort, { ...post, body: JSON.stringify(bodies[post.path]) })
    assert.equal(head.status, 200)
  })
})

describe('development routes', () => {
  const routes = [
    ['POST', '/sleep'],
    ['POST', '/wake_up'],
    ['POST', '/collective_rpc'],
    ['POST', '/reset_prefix_cache'],
    ['POST', '/pause'],
    ['POST', '/resume'],
    ['GET', '/server_info'],
    ['POST', '/update_weights'],
    ['POST', '/start_profile'],
    ['POST', '/stop_profile'],
    ['POST', '/v1/load_lora_adapter'],
    ['POST', '/v1/unload_lora_adapter'],
  ] as const
  const body = '{"lora_name":"x"}'
  const headers = { 'content-type': 'application/json' }

  test('are refused where no admin key is set', { timeout }, async () => {
    const { worker, router } = await plain()
    for (const [method, path] of routes) {
      const { head, body: text } = await send(router.apiPort, { method, path, headers, body })
      assert.equal(head.status, 403, path)
      const { error } = JSON.parse(text.bytes.toString())
      assert.equal(error.code, 'forbidden')
      assert.match(error.message, /--admin-api-key/)
      const all = [...worker.requests, ...worker.probes]
      assert.ok(!all.some((request) => request.path === path), path)
    }
  })

  test('need the admin key where one is set, and then reach the worker', { timeout }, async () => {
    const { worker, router } = await guarded()
    for (const [method, path] of routes) {
      for (const wrong of [{}, { authorization: 'Bearer wrong' }]) {
        const refused = await send(router.apiPort, { method, path, headers: { ...headers, ...wrong }, body })
        assert.equal(refused.head.status, 401, path)
      }
      worker.route(`${method} ${path}`, answer(200, '{}'))
      const right = { ...headers, authorization: 'Bearer admin-key' }
      const { head } = await send(router.apiPort, { method, path, headers: right, body })
      assert.equal(head.status, 200, path)
      const all = [...worker.requests, ...worker.probes].filter((request) => request.path === path)
      assert.equal(all.length, 1, path)
    }
  })

  test('are asked of one worker only, whatever it answers', { timeout }, async (t) => {
    const workers = await Promise.all([1, 2, 3].map(() => startScriptedWorker(answer(500), { t })))
    const router = await routerOver(workers, { t, args: ['--admin-api-key', 'k'] })
    const right = { ...headers, authorization: 'Bearer k' }
    for (const path of ['/sleep', '/update_weights', '/inference/v1/abort_requests']) {
      const sum = () => workers.reduce((count, { requests }) => count + requests.length, 0)
      const before = sum()
      const { head } = await send(router.apiPort, { method: 'POST', path, headers: right, body })
      assert.deepEqual([head.status, head.header('x-router-attempts'), sum() - before], [500, '1', 1], path)
    }
  })

  test('that only tell are refused for what they are', { timeout }, async () => {
    const { router } = await plain()
    const { body: text } = await send(router.apiPort, { path: '/server_info' })
    const { message } = JSON.parse(text.bytes.toString()).error
    assert.match(message, /shows the worker's own configuration/)
    assert.doesNotMatch(message, /changes the worker/)
  })

  test('are found in other spellings too', { timeout }, async () => {
    const { worker, router } = await plain()
    for (const path of [
      '/sleep/',
      '//sleep',
      '/%73leep',
      '/x/../sleep',
      '/%2e/sleep',
      '/sleep?level=1',
      '/sleep%2F',
      '/a/root/path/sleep',
    ]) {
      const exchange = rawRequest({ port: router.apiPort, method: 'POST', path, headers, body })
      assert.equal((await exchange.text()).status, 403, path)
    }
    assert.ok(!worker.requests.some(({ target }) => /sleep|%73leep/i.test(target)))
  })
})
