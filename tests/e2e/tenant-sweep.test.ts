/**
 * Every kind of route with every method, in every disguise that a client can give it, with keys that must not open it:
 * no worker gets to see any of these requests, and nobody is answered.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { hashOfKey } from '../../middleware/key-ring.ts'
import { eventually, within } from '../support/deadline.ts'
import { type RawRequestOptions, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { shared } from '../support/shared.ts'
import { sized } from '../support/soak.ts'
import { answer } from '../support/wire.ts'

const timeout = 120_000

const keys = {
  all: 'canary-key-of-all-0001',
  oneModel: 'canary-key-of-one-model-0002',
  oneRoute: 'canary-key-of-one-route-0003',
  expired: 'canary-key-that-is-over-0004',
  plain: 'canary-key-without-a-name-0005',
  admin: 'canary-key-of-the-admin-0006',
  wrong: 'canary-key-of-nobody-0007',
}
const allowedModel = 'allowed-model'
const otherModel = 'other-model'
const allowedRoute = '/v1/embeddings'

const list = [
  { name: 'all', hash: hashOfKey(keys.all) },
  { name: 'one-model', hash: hashOfKey(keys.oneModel), models: [allowedModel] },
  { name: 'one-route', hash: hashOfKey(keys.oneRoute), routes: [allowedRoute] },
  { name: 'over', hash: hashOfKey(keys.expired), expires: '2020-01-01' },
]

const setup = shared(async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'vllm-router-sweep-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const file = join(home, 'keys.json')
  await writeFile(file, JSON.stringify(list))
  const models = [allowedModel, otherModel].map((id) => ({ id, object: 'model', parent: null }))
  const worker = await startScriptedWorker(answer(200, '{"id":"made-by-worker"}'), { t, everyRoute: true })
  worker.route('GET /health', answer(200, ''))
  worker.route('GET /v1/models', answer(200, JSON.stringify({ object: 'list', data: models })))
  const env = { VLLM_ROUTER_ADMIN_API_KEY: keys.admin, VLLM_ROUTER_ROUTER_API_KEYS: keys.plain }
  const router = await routerOver([worker], { t, env, args: ['--keys-file', file] })
  return {
    worker,
    router,
    port: router.apiPort,
    ask: (all: readonly Request[]) => askAll(router.apiPort, all),
  }
})

interface Request extends RawRequestOptions {
  /** As it came into being, for the words of a failure. */
  readonly what: string
}

interface Answered {
  readonly request: Request
  readonly mark: string
  /** 0: the connection was closed without an answer. */
  readonly status: number
  readonly text: string
}

let marks = 0

/** One connection for each: what some of them do to theirs is their own affair. */
async function askAll(port: number, all: readonly Request[]): Promise<Answered[]> {
  const answers: Answered[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < all.length) {
      const request = all[next++]!
      const mark = `sweep-${++marks}`
      const headers = [...Object.entries(request.headers ?? {}), ['x-sweep', mark]] as [string, string][]
      const exchange = rawRequest({ port, ...request, headers })
      const status = await exchange.head.then(
        (head) => head.status,
        () => 0,
      )
      const { bytes } = await exchange.body
      exchange.abort()
      answers.push({ request, mark, status, text: bytes.toString() })
    }
  }
  await within(30_000, Promise.all(Array.from({ length: 24 }, lane)), `${all.length} answers`)
  return answers
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'] as const

const routes = [
  ...['/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/messages', '/v1/responses'],
  ...['/v1/responses/resp_1', '/v1/responses/resp_1/cancel', '/v1/models', `/v1/models/${otherModel}`],
  ...['/v1/audio/transcriptions', '/tokenize', '/invocations', '/some/route', '/', '/version'],
  ...['/finish_session', '/sleep', '/v1/load_lora_adapter', '/server_info', '/metrics', '/docs'],
  ...['/workers', '/workers/x', '/list_workers', '/add_worker?url=nonsense', '/config', '/reload'],
  ...['/debug/requests', '/debug/route', '/flush_cache', '/events', '/playground', '/page/main.js'],
] as const

/** Of the methods in each disguise, one in so many. */
const oneIn = sized(1, 4)

/** The same path in other words, and what surrounds it. */
const disguises: Readonly<Record<string, (path: string) => RawRequestOptions>> = {
  plainly: (path) => ({ path }),
  'in capitals': (path) => ({ path: path.toUpperCase() }),
  'with two slashes': (path) => ({ path: `/${path}` }),
  'with two slashes inside': (path) => ({ path: path.replace(/(?<=.)\//, '//') }),
  'with a slash at the end': (path) => ({ path: path.replace(/(?=\?|$)/, '/') }),
  'with a letter escaped': (path) => ({ path: path.replace(/[a-z]/, escaped) }),
  'with a letter escaped twice': (path) => ({
    path: path.replace(/[a-z]/, (one) => escaped(one).replace('%', '%25')),
  }),
  'with its slashes escaped': (path) => ({ path: `/${path.slice(1).replaceAll('/', '%2F')}` }),
  'behind dots': (path) => ({ path: `/health/..${path}` }),
  'behind escaped dots': (path) => ({ path: `/v1/embeddings/%2e%2e/%2e%2e${path}` }),
  'behind a backslash': (path) => ({ path: `/v1/embeddings\\..\\..${path}` }),
  'with a parameter': (path) => ({ path: path.replace(/(?=\?|$)/, ';v=1') }),
  'with a query': (path) => ({ path: `${path}${path.includes('?') ? '&' : '?'}path=/health` }),
  'as a whole URL': (path) => ({ path: `http://127.0.0.1${path}` }),
  'by headers': (path) => ({ path: '/v1/none', headers: { 'x-original-url': path, 'x-rewrite-url': path } }),
  'by another method': (path) => ({
    path,
    headers: { 'x-http-method-override': 'GET', 'x-forwarded-method': 'GET' },
  }),
  'as an upgrade': (path) => ({
    path,
    headers: {
      ...{ upgrade: 'websocket', connection: 'Upgrade', 'sec-websocket-version': '13' },
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    },
  }),
}

function escaped(letter: string): string {
  return `%${letter.charCodeAt(0).toString(16)}`
}

/** Ways to show a key. */
const ways = [
  (key: string) => ({ authorization: `Bearer ${key}` }),
  (key: string) => ({ 'x-api-key': key }),
  (key: string) => ({ 'api-key': key }),
] as const

function* sweep(
  showing: readonly ((at: number) => Record<string, string>)[],
  body?: object,
): Generator<Request> {
  let at = 0
  let turn = 0
  for (const route of routes) {
    for (const [disguise, wear] of Object.entries(disguises)) {
      turn += 1
      for (const [index, method] of methods.entries()) {
        // All methods of a route plainly, and some in each disguise, others in the next one.
        if (disguise !== 'plainly' && (index + turn) % oneIn !== 0) continue
        const worn = wear(route)
        const headers = {
          ...(worn.headers as Record<string, string> | undefined),
          ...showing[at % showing.length]!(at),
        }
        const json = ['POST', 'PUT', 'PATCH'].includes(method)
          ? { body: JSON.stringify(body ?? { model: allowedModel, prompt: 'x' }) }
          : {}
        const type: Record<string, string> = 'body' in json ? { 'content-type': 'application/json' } : {}
        at += 1
        yield {
          ...worn,
          method,
          ...json,
          headers: { ...type, ...headers },
          what: `${method} ${route} ${disguise}`,
        }
      }
    }
  }
}

/** What the probes of the router say to everybody. */
function isProbe({ request, status, text }: Answered): boolean {
  if (status !== 200) return false
  return (
    /^(All servers healthy|OK)$/.test(text) || text.includes('"healthy_workers"') || request.method === 'HEAD'
  )
}

async function marksAtWorker(): Promise<Set<string>> {
  const { worker } = await setup()
  const seen = [...worker.requests, ...worker.probes].map((request) => request.header('x-sweep'))
  return new Set(seen.filter((mark) => mark !== undefined))
}

describe('a request', () => {
  test('without a key, or with one that is wrong, over or for administrators, opens nothing', {
    timeout,
  }, async () => {
    const { ask } = await setup()
    const showing = [
      () => ({}),
      ...[keys.wrong, keys.expired, `${keys.all}x`, keys.all.slice(0, -1), hashOfKey(keys.all)].map(
        (key) => (at: number) => ways[at % ways.length]!(key),
      ),
      () => ({ authorization: `Basic ${keys.all}` }),
      () => ({ authorization: keys.all }),
      () => ({ cookie: `key=${keys.all}`, 'x-admin-api-key': keys.admin }),
    ]
    const answers = await ask([...sweep(showing)])
    const answered = answers.filter((one) => one.status < 400 && one.status !== 0 && !isProbe(one))
    assert.deepEqual(
      answered.map(({ request, status }) => `${request.what}: ${status}`),
      [],
    )
    const reached = await marksAtWorker()
    assert.deepEqual(
      answers.filter(({ mark }) => reached.has(mark)).map(({ request }) => request.what),
      [],
    )
    assert.ok(answers.filter(({ status }) => status === 401).length > answers.length / 2)
    for (const { text } of answers) assert.doesNotMatch(text, /canary|made-by-worker/)
  })

  test('with the admin key alone opens nothing that is for clients, and the other way round', {
    timeout,
  }, async () => {
    const { ask } = await setup()
    const admin = await ask([...sweep([(at) => ways[at % ways.length]!(keys.admin)])])
    const reached = await marksAtWorker()
    assert.deepEqual(
      admin.filter(({ mark }) => reached.has(mark)).map(({ request }) => request.what),
      [],
    )
    // What it opens is what it is for.
    const opened = admin.filter((one) => one.status === 200 && !isProbe(one))
    const own = /^\w+ \/(workers|list_workers|config|debug|flush_cache|reload|add_worker|get_loads)/
    assert.deepEqual(
      opened.filter(({ request }) => !own.test(request.what)).map(({ request }) => request.what),
      [],
    )
    assert.ok(opened.length > 0)

    const client = await ask([
      ...sweep([keys.all, keys.plain].map((key) => (at) => ways[at % ways.length]!(key))),
    ])
    const changed = client.filter(
      ({ request, text, status }) =>
        status < 400 &&
        (/"urls"|"settings"|Successfully|"outcome"/.test(text) || own.test(request.what)) &&
        text !== '{"id":"made-by-worker"}',
    )
    assert.deepEqual(
      changed.filter((one) => !isProbe(one)).map(({ request }) => request.what),
      [],
    )
    // It could have failed: these keys do open what is theirs.
    const now = await marksAtWorker()
    assert.ok(client.filter(({ mark }) => now.has(mark)).length > 100)
    const { worker } = await setup()
    const seen = [...worker.requests, ...worker.probes]
    const forbidden = seen
      .map(({ path }) => path)
      .filter((path) => /\/(sleep|load_lora_adapter|server_info)/i.test(path))
    assert.deepEqual([...new Set(forbidden)], [])
    assert.ok(seen.every(({ headers }) => headers.every(([, value]) => !value.includes('canary'))))
  })

  test('of a tenant with one route reaches a worker on that route only', { timeout }, async () => {
    const { ask, worker } = await setup()
    const answers = await ask([...sweep([(at) => ways[at % ways.length]!(keys.oneRoute)])])
    const own = new Set(answers.map(({ mark }) => mark))
    const seen = [...worker.requests, ...worker.probes].filter((request) =>
      own.has(request.header('x-sweep') ?? ''),
    )
    const paths = new Set(seen.map(({ path }) => decodeURIComponent(path.split('?', 1)[0] ?? '')))
    assert.deepEqual([...paths], [allowedRoute])
    assert.ok(seen.length > 5)
    const refused = answers.filter(
      ({ status, text }) => status === 403 && text.includes('this key may not call'),
    )
    assert.ok(refused.length > answers.length / 2)
  })

  test('of a tenant with one model reaches no other, on whatever route', { timeout }, async () => {
    const { ask, worker } = await setup()
    const showing = [(at: number) => ways[at % ways.length]!(keys.oneModel)]
    const answers = await ask([...sweep(showing, { model: otherModel, prompt: 'x', input: 'x' })])
    const reached = await marksAtWorker()
    const own = new Set(answers.map(({ mark }) => mark))
    const bodies = [...worker.requests, ...worker.probes]
      .filter((request) => own.has(request.header('x-sweep') ?? ''))
      .map(({ body }) => body.toString())
    assert.deepEqual(
      bodies.filter((body) => body !== ''),
      [],
    )
    const posts = answers.filter(({ request }) => request.body !== undefined)
    assert.deepEqual(
      posts.filter(({ mark }) => reached.has(mark)).map(({ request }) => request.what),
      [],
    )
    for (const { request, text } of answers)
      if (request.method === 'GET') assert.ok(!text.includes(`"id":"${otherModel}"`), request.what)
    const right = await ask([
      ...['/v1/completions', '/tokenize', '/some/route'].map((path) => ({
        ...{ what: path, path, method: 'POST', body: JSON.stringify({ model: allowedModel, prompt: 'x' }) },
        headers: { ...ways[0](keys.oneModel), 'content-type': 'application/json' },
      })),
    ])
    assert.deepEqual(
      right.map(({ status }) => status),
      [200, 200, 200],
    )
  })

  test('leaves no key and no hash in the log', { timeout }, async () => {
    const { router } = await setup()
    await eventually(() => router.logs().some(({ tenant }) => tenant === 'over'), {
      what: 'whose key is over',
    })
    const said = JSON.stringify(router.logs()) + router.stderr()
    for (const key of Object.values(keys)) {
      assert.ok(!said.includes(hashOfKey(key).slice(7)), 'a hash')
      // A path is the client's own, and so is what it puts there.
      assert.ok(!said.includes(key), `a key: ${said.slice(said.indexOf(key) - 300).slice(0, 400)}`)
    }
    assert.ok(
      router.logs().every(({ tenant }) => tenant === undefined || list.some(({ name }) => name === tenant)),
    )
  })
})
