import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { Context } from 'hono'
import { bearerAuth } from 'hono/bearer-auth'
import { ipRestriction } from 'hono/ip-restriction'
import type { ConfigInput, GatewayEnv } from '../../app/index.ts'
import { createGateway } from '../../app/index.ts'
import { hashOfKey } from '../../middleware/key-ring.ts'
import { eventually, within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'

const timeout = 30_000
const chat = { model: 'test-model', messages: [{ role: 'user', content: 'hello' }] }

async function start(t: TestContext, options: ConfigInput) {
  const worker = await startScriptedWorker(undefined, { t })
  const gateway = await createGateway({
    port: 0,
    prometheusPort: 0,
    workerUrls: [worker.url],
    ...options,
  })
  t.after(() => gateway.close())
  const { api } = await gateway.start()
  const available = async () => (await gateway.control.vitals()).available === 1
  await eventually(available, { what: 'the worker is available' })
  const port = Number(new URL(api).port)
  const ask = async (
    headers: Record<string, string> = {},
    json: unknown = chat,
    path = '/v1/chat/completions',
  ) => {
    const exchange = rawRequest({ port, path, headers, json })
    const { status, text } = await within(5000, exchange.text(), 'an answer')
    return { status, text, head: await exchange.head }
  }
  const get = async (path: string) => (await within(5000, rawRequest({ port, path }).text(), path)).status
  return { gateway, worker, ask, get }
}

describe('docs/library.md: middleware', () => {
  test('runs where its position says: before keys and body, or after both', { timeout }, async (t) => {
    const seen: string[] = []
    const note = (name: string) => async (c: Context<GatewayEnv>, next: () => Promise<void>) => {
      seen.push(
        `${name} ${c.get('body')?.byteLength ?? 'no body'} ${c.get('payload')?.model ?? 'no payload'}`,
      )
      await next()
    }
    const { ask } = await start(t, {
      routerApiKeys: ['right'],
      middleware: [
        note('plain'),
        { position: 'before', middleware: note('before') },
        { position: 'after', middleware: note('after') },
      ],
    })
    assert.equal((await ask()).status, 401)
    assert.deepEqual(seen, ['before no body no payload'])
    seen.length = 0
    assert.equal((await ask({ authorization: 'Bearer right' })).status, 200)
    const bytes = Buffer.byteLength(JSON.stringify(chat))
    assert.deepEqual(seen, [
      'before no body no payload',
      `plain ${bytes} test-model`,
      `after ${bytes} test-model`,
    ])
  })

  test('knows the tenant behind the keys, and not before them', { timeout }, async (t) => {
    const seen: (string | undefined)[] = []
    const note = (c: Context<GatewayEnv>, next: () => Promise<void>) => {
      seen.push(c.get('tenant')?.name)
      return next()
    }
    const { ask } = await start(t, {
      keys: [{ name: 'team-a', hash: hashOfKey('right'), models: 'test-model' }],
      middleware: [{ position: 'before', middleware: note }, note],
    })
    assert.equal((await ask({ authorization: 'Bearer right' })).status, 200)
    assert.deepEqual(seen, [undefined, 'team-a'])
    assert.equal((await ask()).status, 401)
  })

  test('is passed by neither health checks nor admin routes, but by the list of models', {
    timeout,
  }, async (t) => {
    let passed = 0
    const count = async (_: unknown, next: () => Promise<void>) => {
      passed += 1
      await next()
    }
    const { get } = await start(t, { middleware: [{ position: 'before', middleware: count }, count] })
    for (const path of ['/health', '/liveness', '/readiness', '/workers', '/list_workers'])
      assert.deepEqual([await get(path), passed], [path.includes('workers') ? 403 : 200, 0], path)
    assert.deepEqual([await get('/v1/models'), passed], [200, 2])
  })

  test('may be one of those that Hono brings: what it throws is the answer', { timeout }, async (t) => {
    const { ask, worker } = await start(t, {
      middleware: [
        {
          position: 'before',
          middleware: ipRestriction((c) => c.env.incoming.remoteAddress ?? '', { allowList: ['127.0.0.1'] }),
        },
        { position: 'before', middleware: bearerAuth({ token: 'right' }) },
      ],
    })
    const refused = await ask()
    assert.equal(refused.status, 401)
    assert.match(refused.head.header('www-authenticate') ?? '', /Bearer/)
    assert.ok(refused.head.header('x-request-id'))
    assert.equal(worker.requests.length, 0)
    assert.equal((await ask({ authorization: 'Bearer right' })).status, 200)
  })

  test('that throws anything else is a 500 that says nothing of it', { timeout }, async (t) => {
    const { ask } = await start(t, {
      middleware: [
        () => {
          throw new Error('the password is 1234')
        },
      ],
    })
    const { status, text } = await ask()
    assert.equal(status, 500)
    assert.equal(JSON.parse(text).error.code, 'internal_error')
    assert.doesNotMatch(text, /1234/)
  })

  test('hears of the end of a stream, after its last byte, and may replace its body', {
    timeout,
  }, async (t) => {
    const events: string[] = []
    const { ask } = await start(t, {
      middleware: [
        async (c, next) => {
          c.get('onEnd')(() => events.push('end'))
          await next()
          events.push('headers')
          const upper = new TransformStream<Uint8Array, Uint8Array>({
            transform: (chunk, to) => to.enqueue(Buffer.from(Buffer.from(chunk).toString().toUpperCase())),
          })
          c.res = new Response(c.res.body?.pipeThrough(upper) ?? null, c.res)
        },
      ],
    })
    const { status, text } = await ask({}, { ...chat, stream: true })
    assert.equal(status, 200)
    assert.match(text, /"ROLE":"ASSISTANT"/)
    await eventually(() => events.length === 2, { what: 'the end' })
    assert.deepEqual(events, ['headers', 'end'])
  })
})

describe('docs/library.md: the gateway', () => {
  test('answers requests without a listener', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const gateway = await createGateway({ workerUrls: [worker.url] })
    t.after(() => gateway.close())
    gateway.probe()
    await eventually(async () => (await gateway.control.vitals()).available === 1, {
      what: 'the worker is available',
    })
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify(chat)
    const request = new Request('http://any/v1/chat/completions', { method: 'POST', headers, body })
    assert.equal((await gateway.fetch(request)).status, 200)
    const metrics = await gateway.operations(new Request('http://any/metrics'))
    assert.match(await metrics.text(), /vllm_router_requests_total\{.*status="200"\} 1/)
  })

  test('stops without the settle time when told so, and two of them live side by side', {
    timeout,
  }, async (t) => {
    const [one, other] = [await start(t, {}), await start(t, {})]
    await within(2000, one.gateway.stop({ settle: false }), 'the end of the first')
    assert.equal((await other.ask()).status, 200)
  })
})
