/** What the operations listener answers is what its OpenAPI document says: every route, every status, every error. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { within } from '../support/deadline.ts'
import {
  type DescribedAnswer,
  describedAnswers,
  operations,
  strictDescription,
} from '../support/described-answers.ts'
import { type RawExchange, type RawRequestOptions, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { inTurn, startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { closedPort } from '../support/sockets.ts'
import { testGateway } from '../support/test-gateway.ts'
import { answer } from '../support/wire.ts'

const timeout = 60_000

/** An answer that a router has given. */
interface Seen {
  /** The method and the path as the document has them. */
  readonly route: string
  readonly status: number
  readonly type: string | undefined
  readonly text: string
}

const routes = operations().map(([method, path]) => `${method} ${path}`)

/** `GET /workers/{id}` for `GET /workers/6d1c84f2?x=1`. */
function described(line: string): string {
  const parts = line.split('?', 1)[0]!.split('/')
  const fits = (route: string) => {
    const own = route.split('/')
    return own.length === parts.length && own.every((part, at) => part.startsWith('{') || part === parts[at])
  }
  // One without variable parts first.
  const found = routes.find((route) => route === parts.join('/')) ?? routes.find(fits)
  assert.ok(found, `${line} is not described`)
  return found
}

class Visit {
  readonly seen: Seen[] = []

  async ask(router: RouterProcess, line: string, options: RawRequestOptions = {}): Promise<Seen> {
    const [method = '', path = ''] = line.split(' ')
    const { head, body } = await send(router.operationsPort, { ...options, method, path })
    return this.#add(line, head.status, head.header('content-type'), body.bytes.toString())
  }

  /** One whose answer does not end by itself: up to its first event. */
  async askStream(router: RouterProcess, line: string): Promise<RawExchange> {
    const [, path = ''] = line.split(' ')
    const exchange = rawRequest({ port: router.operationsPort, path })
    const { status, header } = await within(5000, exchange.head, line)
    const [event] = await within(5000, exchange.firstEvents(1), `an event of ${line}`)
    this.#add(line, status, header('content-type'), event?.data ?? '')
    return exchange
  }

  /** Of a router that is part of a program. */
  async askPart(gateway: Awaited<ReturnType<typeof testGateway>>, line: string): Promise<Seen> {
    const [method = '', path = ''] = line.split(' ')
    const response = await gateway.operations(new Request(`http://127.0.0.1${path}`, { method }))
    return this.#add(
      line,
      response.status,
      response.headers.get('content-type') ?? undefined,
      await response.text(),
    )
  }

  #add(line: string, status: number, contentType: string | undefined, text: string): Seen {
    const type = contentType?.split(';', 1)[0]
    const one = { route: described(line), status, type, text }
    this.seen.push(one)
    return one
  }
}

/** Whatever a router can be asked, in the states that make its answers differ. */
async function visitEverything(t: Scope): Promise<readonly Seen[]> {
  const visit = new Visit()
  await visitRouter(visit, t)
  await visitKeyed(visit, t)
  const part = await testGateway({})
  t.after(() => part.close())
  await visit.askPart(part, 'POST /reload')
  return visit.seen
}

async function visitRouter(visit: Visit, t: Scope): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'vllm-router-described-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const file = join(home, 'router.yaml')
  await writeFile(file, 'log-level: info\n')
  const metrics = () =>
    'vllm:num_requests_running{model_name="m"} 1\nvllm:kv_cache_usage_perc{model_name="m"} 0.2\n'
  const workers = await Promise.all([1, 2, 3].map(() => startScriptedWorker(undefined, { t, metrics })))
  const [one, two, three] = workers as [(typeof workers)[0], (typeof workers)[0], (typeof workers)[0]]
  // With traces, to a collector that is not there, /metrics has a second format.
  const traces = ['--otlp-traces-endpoint', 'http://127.0.0.1:9/v1/traces']
  const args = ['--config', file, '--worker-startup-timeout-secs', '1', ...traces]
  args.push('--max-payload-size', '100000')
  const router = await routerOver([one, two], { t, args })
  const ask = (line: string, options?: RawRequestOptions) => visit.ask(router, line, options)

  // One is busy once, so that a request has two attempts; and one request that no worker may have.
  one.use(inTurn(answer(503, '{}'), undefined))
  const body = { model: 'test-model', prompt: 'x' }
  for (const stream of [true, false, true])
    await send(router.apiPort, { path: '/v1/completions', json: { ...body, stream } })
  await send(router.apiPort, { path: '/v1/completions', json: { model: 'other', prompt: 'x' } })

  for (const path of ['/', '/metrics', '/openapi.json', '/liveness', '/readiness', '/health', '/workers'])
    await ask(`GET ${path}`)
  await ask('GET /health', { headers: { accept: 'application/json' } })
  await ask('GET /metrics', { headers: { accept: 'application/openmetrics-text' } })
  for (const path of ['/list_workers', '/get_loads', '/config', '/debug/requests']) await ask(`GET ${path}`)
  await ask('GET /debug/requests?failed=true&limit=5&slower_than_ms=0&model=test-model')
  await ask('GET /debug/requests?colour=red')
  for (const query of ['', '?format=csv', '?from=yesterday']) await ask(`GET /usage${query}`)
  await ask('GET /limits')
  await visitDryRun(ask)

  const id = JSON.parse((await ask('GET /workers')).text).workers[0].id as string
  await ask(`GET /workers/${id}`)
  await ask(`GET /workers/${encodeURIComponent(one.url)}`)
  await ask(`PATCH /workers/${id}`, { json: { draining: true } })
  await ask(`PATCH /workers/${id}`, { json: { draining: 'yes' } })
  await ask('GET /workers')
  for (const method of ['GET', 'DELETE']) await ask(`${method} /workers/nobody`)
  await ask('PATCH /workers/nobody', { json: { draining: true } })
  await ask(`DELETE /workers/${id}`)

  await ask(`POST /add_worker?url=${three.url}`)
  await ask(`POST /add_worker?url=${three.url}`)
  await ask(`POST /remove_worker?url=${three.url}`)
  await ask(`POST /remove_worker?url=${three.url}`)
  await ask('POST /remove_worker')

  two.route('POST /reset_prefix_cache', answer(200, ''))
  await ask('POST /flush_cache')
  two.route('POST /reset_prefix_cache', answer(404, ''))
  await ask('POST /flush_cache')

  const closed = await closedPort()
  t.after(() => closed.release())
  await ask('POST /workers', { json: { url: `http://127.0.0.1:${closed.port}` } })
  await ask('POST /workers', { json: { url: 'nonsense' } })
  await ask('GET /health')
  await ask('GET /health', { headers: { accept: 'application/json' } })

  await writeFile(file, 'log-level: warn\n')
  await ask('POST /reload')
  await ask('GET /config')
  await writeFile(file, 'log-level: loud\n')
  await ask('POST /reload')
  await ask('GET /config')

  await visitPage(visit, router)
  await visitDoor(ask)
}

async function visitDryRun(ask: (line: string, options?: RawRequestOptions) => Promise<Seen>): Promise<void> {
  await ask('POST /debug/route', { json: { model: 'test-model', messages: [], user: 'me' } })
  await ask('POST /debug/route?path=/v1/completions', { json: { model: 'test-model', prompt: 'x' } })
  await ask('POST /debug/route?path=/health', { json: {} })
  await ask('POST /debug/route?path=v1', { json: {} })
  await ask('POST /debug/route', { json: 'x'.repeat(200_000) })
}

async function visitPage(visit: Visit, router: RouterProcess): Promise<void> {
  const ask = (line: string, options?: RawRequestOptions) => visit.ask(router, line, options)
  for (const file of ['style.css', 'main.js', 'icon.svg', 'nothing.js']) await ask(`GET /page/${file}`)
  for (const path of ['/', '/page/style.css']) {
    const { head } = await send(router.operationsPort, { path })
    await ask(`GET ${path}`, { headers: { 'if-none-match': head.header('etag') ?? '' } })
  }
  const feeds: RawExchange[] = []
  while (feeds.length < 50) feeds.push(await visit.askStream(router, 'GET /events'))
  await ask('GET /events')
  for (const feed of feeds) feed.abort()
  const messages = [{ role: 'user', content: 'Hi' }]
  for (const stream of [true, false])
    await ask('POST /playground', { json: { model: 'test-model', stream, messages } })
  await ask('POST /playground', { json: { model: 'test-model', messages: 'Hi' } })
}

/** What admin routes have in common: who may not, and what is no body. */
async function visitDoor(ask: (line: string, options?: RawRequestOptions) => Promise<Seen>): Promise<void> {
  for (const [method, path, { security, requestBody }] of operations()) {
    const line = `${method} ${path.replace('{id}', 'nobody')}`
    const evil = { host: 'evil.example' }
    if (security !== undefined) await ask(line, { headers: evil })
    const typed = (type: string) => ({ 'content-type': type })
    if (security !== undefined && method !== 'GET')
      await ask(line, { headers: typed('text/plain'), body: 'x' })
    if (requestBody === undefined) continue
    await ask(line, { headers: typed('application/json'), body: 'x' })
    await ask(line, { headers: typed('application/json'), body: `"${'x'.repeat(70_000)}"` })
  }
}

async function visitKeyed(visit: Visit, t: Scope): Promise<void> {
  const router = await routerOver([], { t, env: { VLLM_ROUTER_ADMIN_API_KEY: 'admin-key' } })
  await visit.ask(router, 'GET /readiness')
  for (const [method, path, { security }] of operations())
    if (security !== undefined) await visit.ask(router, `${method} ${path.replace('{id}', 'nobody')}`)
}

const visited = shared(visitEverything)

/** The `code` of an error. */
function codeOf({ text }: Seen): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { code?: string } }).error?.code
  } catch {
    return undefined
  }
}

const isGiven = (expected: DescribedAnswer) => (seen: Seen) =>
  expected.route === seen.route &&
  expected.status === seen.status &&
  (expected.code === undefined ? expected.type === seen.type : expected.code === codeOf(seen))

describe('the operations listener', () => {
  test('gives no answer that its document does not have', { timeout }, async () => {
    const seen = await visited()
    const { faults } = strictDescription()
    assert.ok(seen.length > 70)
    for (const one of seen) {
      const place = `${one.route}: ${one.status} ${one.type} ${one.text.slice(0, 300)}`
      const [found] = describedAnswers().filter((expected) => isGiven(expected)(one))
      assert.ok(found, `${place} is not described`)
      if (found.pointer === undefined) assert.equal(one.text, '', place)
      else
        assert.equal(
          faults(found.pointer, found.type === 'application/json' ? JSON.parse(one.text) : one.text),
          '',
          place,
        )
    }
  })

  test('gives every answer that its document has', { timeout }, async () => {
    const seen = await visited()
    const missing = describedAnswers().filter((expected) => !seen.some(isGiven(expected)))
    assert.deepEqual(
      missing.map(({ route, status, type, code }) => `${route} ${status} ${code ?? type}`),
      [],
    )
  })

  test('serves the document itself', { timeout }, async () => {
    const served = (await visited()).find(({ route }) => route === 'GET /openapi.json')
    const paths = Object.keys((JSON.parse(served?.text ?? '') as { paths: object }).paths)
    assert.deepEqual(paths, [...new Set(operations().map(([, path]) => path))])
  })

  test('says of every path which methods it has', { timeout }, async (t) => {
    const router = await routerOver([], { t })
    const paths = Map.groupBy(operations(), ([, path]) => path)
    for (const [path, methods] of paths) {
      const has = methods.map(([method]) => method)
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
        if (has.includes(method)) continue
        const { head } = await send(router.operationsPort, { method, path: path.replace('{id}', 'nobody') })
        assert.equal(head.status, 405, `${method} ${path}`)
        assert.deepEqual(head.header('allow')?.split(', ').toSorted(), has.toSorted(), path)
      }
    }
  })
})
