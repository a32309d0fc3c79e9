/** The page's files, its feed and its playground, as whoever is not its page meets them. */

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { createGateway } from '../../app/gateway/gateway.ts'
import { runtimeBinary } from '../support/child.ts'
import { eventually, within } from '../support/deadline.ts'
import { readFeed } from '../support/feed-reader.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'

const timeout = 60_000
const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = join(root, 'app/operations/page')
const budgetBytes = 60 * 1024

const setup = shared(async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  const router = await routerOver([worker], { t })
  return { worker, router, port: router.operationsPort }
})

const chat = { model: 'test-model', stream: true, messages: [{ role: 'user', content: 'Hi' }] }

async function pathsOfPage(): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => !name.startsWith('embedded.'))
  return names.map((name) => (name === 'index.html' ? '/' : `/page/${name}`))
}

describe('the files of the page', () => {
  test('are sent to everyone, compressed where that is wanted, and not again where they are known', {
    timeout,
  }, async () => {
    const { port } = await setup()
    let zippedBytes = 0
    for (const path of await pathsOfPage()) {
      const plain = await send(port, { path })
      assert.equal(plain.head.status, 200, path)
      const file = await readFile(join(folder, path === '/' ? 'index.html' : path.slice('/page/'.length)))
      assert.deepEqual(plain.body.bytes, file)
      const zipped = await send(port, { path, headers: { 'accept-encoding': 'br, gzip' } })
      assert.equal(zipped.head.header('content-encoding'), 'gzip')
      assert.deepEqual(gunzipSync(zipped.body.bytes), file)
      zippedBytes += zipped.body.bytes.length
      const etag = plain.head.header('etag') ?? ''
      const again = await send(port, { path, headers: { 'if-none-match': `"other", W/${etag}` } })
      assert.deepEqual([again.head.status, again.body.bytes.length], [304, 0])
    }
    assert.ok(zippedBytes <= budgetBytes, `${zippedBytes} bytes in all`)
  })

  test('allow nothing from elsewhere and nothing within the document', { timeout }, async () => {
    const { port } = await setup()
    for (const path of await pathsOfPage()) {
      const { head, body } = await send(port, { path })
      const policy = head.header('content-security-policy') ?? ''
      assert.match(policy, /default-src 'none'/)
      assert.match(policy, /frame-ancestors 'none'/)
      assert.doesNotMatch(policy, /unsafe|\*|https?:|data:/)
      assert.equal(head.header('x-content-type-options'), 'nosniff')
      const text = body.bytes.toString().replaceAll('http://www.w3.org/2000/svg', '')
      assert.doesNotMatch(text, /https?:\/\/|\/\/[a-z]+\.[a-z]/, `${path} names another host`)
      assert.doesNotMatch(
        text,
        /<style|<script(?![^>]*src=)|\son\w+=|\sstyle=|innerHTML|insertAdjacentHTML|eval\(/,
      )
    }
  })

  test('are carried by a program that Bun compiles', { timeout: 120_000 }, async (t) => {
    const embedded = await readFile(join(folder, 'embedded.js'), 'utf8')
    const named = [...embedded.matchAll(/from '\.\/(.+)' with/g)].map(([, name]) => name)
    const files = (await readdir(folder)).filter((name) => !name.startsWith('embedded.'))
    assert.deepEqual(named.toSorted(), files.toSorted())

    const home = await mkdtemp(join(tmpdir(), 'vllm-router-compiled-'))
    t.after(() => rm(home, { recursive: true, force: true }))
    const binary = join(home, 'router')
    await promisify(execFile)(
      runtimeBinary('bun'),
      ['build', '--compile', join(root, 'app/main.ts'), '--outfile', binary],
      { cwd: home },
    )
    const args = ['--port', '0', '--prometheus-port', '0', '--log-format', 'json']
    const program = spawn(binary, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => program.kill('SIGKILL'))
    let said = ''
    program.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const url = await eventually(() => /"operations":"([^"]+)"/.exec(said)?.[1], {
      what: 'its address',
      withinMs: 20_000,
    })
    for (const path of await pathsOfPage())
      assert.equal((await send(Number(new URL(url).port), { path })).head.status, 200, path)
  })
})

describe('the feed and the playground', () => {
  test('are for whoever may use the admin routes, and for the page itself only', { timeout }, async (t) => {
    const { port } = await setup()
    const json = { 'content-type': 'application/json' }
    const status = async (path: string, headers: Record<string, string>, method = 'POST') =>
      (await send(port, { path, method, headers, ...(method === 'POST' && { body: '{}' }) })).head.status
    assert.equal(await status('/events', { host: 'evil.example' }, 'GET'), 403)
    assert.equal(await status('/events', json), 405)
    assert.equal(await status('/playground', { ...json, host: 'evil.example' }), 403)
    assert.equal(await status('/playground', { ...json, origin: 'http://evil.example' }), 403)
    assert.equal(await status('/playground', { ...json, 'sec-fetch-site': 'same-site' }), 403)
    assert.equal(await status('/playground', { ...json, 'x-forwarded-for': '1.2.3.4' }), 403)
    assert.equal(await status('/playground', { 'content-type': 'text/plain' }), 415)
    assert.equal(await status('/playground', {}, 'GET'), 405)

    const keyed = await routerOver([], { t, env: { VLLM_ROUTER_ADMIN_API_KEY: 'admin-key' } })
    for (const headers of [json, { ...json, authorization: 'Bearer other' }]) {
      const feed = await send(keyed.operationsPort, { path: '/events', headers })
      const played = await send(keyed.operationsPort, { path: '/playground', headers, body: '{}' })
      assert.deepEqual([feed.head.status, played.head.status], [401, 401])
    }
    const feed = await readFeed(keyed.operations, { key: 'admin-key', t })
    assert.equal((await feed.next()).vitals.total, 0)
  })

  for (const processes of [1, 2]) {
    test(`say what /metrics and the admin routes say (${processes} processes)`, { timeout }, async (t) => {
      const workers = [
        await startScriptedWorker(undefined, { t }),
        await startScriptedWorker(undefined, { t }),
      ]
      const args = ['--processes', String(processes), '--shutdown-settle-secs', '0']
      const router = await routerOver(workers, { t, args })
      const feed = await readFeed(router.operations, { t })
      const first = await feed.next()
      assert.deepEqual([first.vitals.total, first.workers?.length], [2, 2])
      for (let index = 0; index < 20; index++) {
        const model = index < 5 ? 'nobody-has-it' : 'test-model'
        await send(router.apiPort, { path: '/v1/chat/completions', json: { ...chat, model } })
      }
      const answered = (await send(router.operationsPort, { path: '/workers' })).body.bytes.toString()
      const states = (JSON.parse(answered) as { workers: { id: string; recent: { attempts: number } }[] })
        .workers
      const seen = new Map((first.workers ?? []).map((worker) => [worker.id, worker]))
      const ids = new Set<string>()
      const frame = await eventually(
        async () => {
          const next = await feed.next()
          for (const worker of next.workers ?? []) seen.set(worker.id, worker)
          for (const { request_id } of (next.requests ?? []) as { request_id: string }[]) ids.add(request_id)
          return next.figures.requests[404] === 5 && next.figures.requests[200] === 15 && next
        },
        { what: 'an event with all requests', withinMs: 10_000 },
      )
      const total = (name: string, labels = {}) => router.metric(`vllm_router_${name}`, labels)
      assert.equal(
        frame.figures.requests[200],
        await total('requests_total', { route: '/v1/chat/completions', status: '200' }),
      )
      assert.equal(frame.figures.errors.model_not_found, await total('request_errors_total'))
      assert.equal(frame.figures.retries, (await total('retries_total')) ?? 0)
      assert.equal(frame.figures.tokens.completion, await total('tokens_total', { kind: 'completion' }))
      const { counts } = frame.figures.first_token
      assert.equal(counts.at(-1), await total('time_to_first_token_seconds_count'))
      assert.equal(counts[0], await total('time_to_first_token_seconds_bucket', { le: 0.001 }))
      for (const { id, recent } of states) assert.equal(seen.get(id)?.recent.attempts, recent.attempts)
      const listed = (
        await send(router.operationsPort, { path: '/debug/requests?limit=100' })
      ).body.bytes.toString()
      const known = (JSON.parse(listed) as { requests: { request_id: string }[] }).requests
      assert.deepEqual([...ids].toSorted(), known.map(({ request_id }) => request_id).toSorted())

      const played = await send(router.operationsPort, { path: '/playground', json: chat })
      assert.equal(played.head.status, 200)
      assert.match(played.body.bytes.toString(), /\[DONE\]/)
      assert.equal(played.head.header('x-router-attempts'), '1')
      assert.equal((await router.stop()).code, 0, 'an open feed holds nobody up')
      await within(5000, feed.ended, 'the end of the feed')
    })

    test(`the playground is a client like any other (${processes} processes)`, { timeout }, async (t) => {
      const worker = await startScriptedWorker(undefined, {
        t,
        tokens: 3,
        headers: { 'set-cookie': 'a=b', 'x-own': '1' },
      })
      const router = await routerOver([worker], {
        t,
        args: ['--processes', String(processes)],
        env: { VLLM_ROUTER_ADMIN_API_KEY: 'admin-key', VLLM_ROUTER_ROUTER_API_KEYS: 'client-key' },
      })
      const play = (headers: Record<string, string>, json: object = chat) =>
        send(router.operationsPort, {
          path: '/playground',
          headers: { authorization: 'Bearer admin-key', ...headers },
          json,
        })
      const refused = await play({})
      assert.deepEqual([refused.head.status, worker.requests.length], [401, 0])
      assert.ok(refused.head.header('x-request-id'), 'the page tells it from a refusal of the admin key')
      assert.equal((await play({ 'x-router-api-key': 'admin-key' })).head.status, 401)
      const answered = await play({ 'x-router-api-key': 'client-key', cookie: 'secret=1' })
      assert.equal(answered.head.status, 200)
      assert.deepEqual(
        ['set-cookie', 'x-own', 'x-content-type-options'].map((name) => answered.head.header(name)),
        [undefined, undefined, 'nosniff'],
      )
      const [request] = worker.requests
      assert.deepEqual(request?.json(), chat)
      assert.doesNotMatch(JSON.stringify(request?.headers), /admin-key|client-key|secret/)
      const wrong = await play({ 'x-router-api-key': 'client-key' }, { ...chat, messages: 'none' })
      assert.deepEqual([wrong.head.status, worker.requests.length], [400, 1])
    })

    test(`whoever leaves the playground ends the work of the worker (${processes} processes)`, {
      timeout,
    }, async (t) => {
      const worker = await startScriptedWorker(undefined, { t, tokens: 1000, tokenMs: 20 })
      const router = await routerOver([worker], { t, args: ['--processes', String(processes)] })
      const exchange = rawRequest({ port: router.operationsPort, path: '/playground', json: chat })
      await within(5000, exchange.firstEvents(3), 'tokens')
      exchange.abort()
      await eventually(() => worker.requests[0]?.connection.closedAt !== undefined, {
        what: 'the end',
        withinMs: 2000,
      })
    })
  }

  test('prompts, answers and keys are not in the feed', { timeout }, async (t) => {
    const canary = 'canary-5d1e'
    const worker = await startScriptedWorker(undefined, { t })
    const router = await routerOver([worker], {
      t,
      env: {
        VLLM_ROUTER_ADMIN_API_KEY: `${canary}-admin`,
        VLLM_ROUTER_ROUTER_API_KEYS: `${canary}-client`,
        VLLM_ROUTER_API_KEY: `${canary}-worker`,
      },
    })
    const feed = await readFeed(router.operations, { key: `${canary}-admin`, t })
    await feed.next()
    const headers = { authorization: `Bearer ${canary}-client` }
    const bodies = [
      { ...chat, messages: [{ role: 'user', content: canary }] },
      { ...chat, messages: [{ role: canary, content: 7 }], user: canary },
      { ...chat, model: 'nobody-has-it', messages: [{ role: 'user', content: canary }] },
    ]
    for (const json of bodies) await send(router.apiPort, { path: '/v1/chat/completions', headers, json })
    const wrong = { authorization: `Bearer ${canary}-wrong` }
    await send(router.apiPort, { path: `/v1/models?key=${canary}`, headers: wrong })
    const what = 'the requests in the feed'
    await eventually(
      async () =>
        Object.values((await feed.next()).figures.requests).reduce((sum, count) => sum + count, 0) >= 4,
      { what },
    )
    assert.doesNotMatch(feed.text, new RegExp(canary))
  })

  test('a feed ends when its key is valid no more', { timeout }, async (t) => {
    const gateway = await createGateway({ adminApiKey: 'one', port: 0, prometheusPort: 0 })
    t.after(() => gateway.close())
    const { operations } = await gateway.start()
    const feed = await readFeed(operations, { key: 'one', t })
    await feed.next()
    gateway.reconfigure({ adminApiKey: 'one', port: 0, prometheusPort: 0, queueSize: 7 })
    await feed.next()
    gateway.reconfigure({ adminApiKey: 'two', port: 0, prometheusPort: 0 })
    await within(2000, feed.ended, 'the end of the feed')
    await assert.rejects(readFeed(operations, { key: 'one', t }), /401/)
  })

  test('feeds that are left make room for others', { timeout }, async (t) => {
    const { router, port } = await setup()
    // The second time each of them needs the room of one that was left, which the router hears of a moment later.
    const enter = () => eventually(() => readFeed(router.operations, { t }), { what: 'room for a feed' })
    for (const round of [1, 2]) {
      const feeds = await Promise.all(Array.from({ length: 50 }, enter))
      await Promise.all(feeds.map((feed) => feed.next()))
      const refused = await send(port, { path: '/events' })
      assert.deepEqual(
        [refused.head.status, refused.head.header('retry-after')],
        [429, '5'],
        `round ${round}`,
      )
      for (const feed of feeds) feed.leave()
    }
  })
})
