/** Who may change the workers of a router that has no admin key: whoever runs it, and no web page that he looks at. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { answer } from '../support/wire.ts'

const timeout = 30_000
const json = 'application/json'
const form = 'application/x-www-form-urlencoded'

const setup = shared(async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  const router = await routerOver([worker], { t, args: ['--admin-hosts', 'Router.Example'] })
  const port = router.operationsPort
  const ask = async (method: string, path: string, headers: Record<string, string> = {}, body?: string) => {
    const options = { method, path, headers, ...(body !== undefined && { body }) }
    const answered = await send(port, options)
    const text = answered.body.bytes.toString()
    return { status: answered.head.status, text }
  }
  return { worker, router, port, ask }
})

/** What changes something, each with the status that a right one gets when the worker it is about is not there. */
const changes: readonly (readonly [string, string, string | undefined])[] = [
  ['POST', '/add_worker?url=nonsense', undefined],
  ['POST', '/remove_worker?url=http://127.0.0.1:9', undefined],
  ['POST', '/workers', '{}'],
  ['PATCH', '/workers/x', '{"draining":true}'],
  ['DELETE', '/workers/x', undefined],
]

describe('a change of the workers', () => {
  const foreign: Readonly<Record<string, Record<string, string>>> = {
    'a page of another origin': { origin: 'http://evil.example' },
    'a page without an origin': { origin: 'null' },
    'a page on another port of this machine': { origin: 'http://127.0.0.1:1' },
    'a page whose browser says only that it is foreign': { 'sec-fetch-site': 'cross-site' },
    'a page of the same site': { 'sec-fetch-site': 'same-site' },
    'a page whose name points here': { host: 'evil.example', origin: 'http://evil.example' },
    'a page whose name looks like an address': { host: '127.0.0.1.evil.example' },
    'a proxy that says so': { 'x-forwarded-for': '203.0.113.9' },
    'a proxy that says it in the way of the RFC': { forwarded: 'for=203.0.113.9' },
    'a proxy that only names itself': { via: '1.1 proxy' },
  }
  for (const [from, headers] of Object.entries(foreign)) {
    test(`is refused from ${from}`, { timeout }, async () => {
      const { ask } = await setup()
      for (const [method, path, body] of changes) {
        const { status, text } = await ask(method, path, { 'content-type': json, ...headers }, body)
        assert.deepEqual([status, JSON.parse(text).error.code], [403, 'forbidden'], `${method} ${path}`)
        assert.match(text, /origin|--admin-hosts|--admin-api-key/)
      }
    })
  }

  test('is refused in every form that a page can send unasked', { timeout }, async () => {
    const { ask } = await setup()
    for (const type of [form, 'text/plain;charset=UTF-8', 'multipart/form-data; boundary=x']) {
      for (const body of ['{"url":"http://127.0.0.1:9"}', '']) {
        const { status, text } = await ask('POST', '/workers', { 'content-type': type }, body)
        assert.deepEqual([status, JSON.parse(text).error.code], [415, 'unsupported_media_type'], type)
      }
    }
    assert.equal((await ask('POST', '/workers', {}, '{"url":"http://127.0.0.1:9"}')).status, 415)
  })

  test('is taken from the page itself and from a command line', { timeout }, async () => {
    const { ask, port } = await setup()
    const own: Record<string, string>[] = [
      {},
      { origin: `http://127.0.0.1:${port}`, 'sec-fetch-site': 'same-origin' },
      { host: `localhost:${port}`, origin: `http://localhost:${port}` },
      { host: `[::1]:${port}`, 'sec-fetch-site': 'none' },
      { host: 'ROUTER.example', origin: 'https://router.example' },
    ]
    for (const headers of own) {
      for (const [method, path, body] of changes) {
        const type: Record<string, string> =
          body === undefined ? {} : { 'content-type': `${json}; charset=utf-8` }
        const { status } = await ask(method, path, { ...headers, ...type }, body)
        // It came as far as to be judged for what it says.
        assert.ok(status === 400 || status === 404, `${method} ${path}: ${status}`)
      }
    }
  })
})

describe('the list of workers', () => {
  test('is not shown to a page whose name points here', { timeout }, async () => {
    const { ask, worker } = await setup()
    for (const path of ['/workers', '/list_workers', '/get_loads']) {
      const { status, text } = await ask('GET', path, { host: 'evil.example:29000' })
      assert.equal(status, 403)
      assert.ok(!text.includes(worker.url))
    }
    assert.equal((await ask('GET', '/metrics', { host: 'prometheus-scrapes-by-name' })).status, 200)
  })
})

describe('behind the admin key', () => {
  const keyed = shared(async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    return routerOver([worker], { t, env: { VLLM_ROUTER_ADMIN_API_KEY: 'admin-key' } })
  })
  const key = { authorization: 'Bearer admin-key' }

  test('proxies may come, and names may read', { timeout }, async () => {
    const { operationsPort: port } = await keyed()
    const through = { ...key, 'x-forwarded-for': '203.0.113.9' }
    assert.equal(
      (await send(port, { method: 'DELETE', path: '/workers/x', headers: through })).head.status,
      404,
    )
    const named = { ...key, host: 'vllm-router-metrics.ml.svc:29000' }
    assert.equal((await send(port, { path: '/workers', headers: named })).head.status, 200)
    assert.equal(
      (await send(port, { method: 'DELETE', path: '/workers/x', headers: named })).head.status,
      403,
    )
  })

  test('the API takes changes as well, and nobody is heard without it', { timeout }, async () => {
    const { apiPort: port } = await keyed()
    assert.equal((await send(port, { path: '/workers', headers: key })).head.status, 200)
    assert.equal((await send(port, { path: '/workers' })).head.status, 401)
  })
})

describe('what the API says to everyone', () => {
  test('names no address of a worker', { timeout }, async (t) => {
    const router = await routerOver([{ url: 'http://127.0.0.1:9' }], { t, available: 0 })
    for (const headers of [{}, { accept: json }] as Record<string, string>[]) {
      const { head, body } = await send(router.apiPort, { path: '/health', headers })
      const shown = await send(router.operationsPort, { path: '/health', headers })
      assert.equal(head.status, 503)
      assert.doesNotMatch(body.bytes.toString(), /127\.0\.0\.1/)
      assert.match(body.bytes.toString(), /[0-9a-f]{12}/)
      assert.match(shown.body.bytes.toString(), /http:\/\/127\.0\.0\.1:9/)
    }
  })

  test('is not what a random worker says of itself', { timeout }, async (t) => {
    const { worker, router } = await setup()
    const before = worker.requests.length
    for (const path of [
      '/metrics',
      '/metrics/',
      '//metrics',
      '/%6detrics',
      '/docs',
      '/docs/oauth2-redirect',
      '/redoc',
      '/openapi.json',
    ]) {
      const { head, body } = await send(router.apiPort, { path })
      assert.deepEqual([head.status, JSON.parse(body.bytes.toString()).error.code], [404, 'not_found'], path)
      assert.match(body.bytes.toString(), /operations listener/)
    }
    assert.equal(worker.requests.length, before)
    worker.route('GET /docs', answer(200, 'its pages'))
    const open = await routerOver([worker], { t, args: ['--relay-worker-pages'] })
    const { head } = await send(open.apiPort, { path: '/docs' })
    assert.ok(head.header('x-router-worker'), 'a worker has answered')
  })
})
