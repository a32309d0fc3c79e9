/** Which header fields pass through the router, in both directions, and which do not. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { eventually } from '../support/deadline.ts'
import { resetBeforeHead } from '../support/faults.ts'
import { openConnection, type RawRequestOptions } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { type RecordedRequest, startScriptedWorker } from '../support/scripted-worker.ts'
import { type Answered, send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { answer, chunk, completed, head, lastChunk, type Script, streamHead } from '../support/wire.ts'

const timeout = 30_000
const path = '/v1/chat/completions'
const json = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }] }

const setup = shared(async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  const other = await startScriptedWorker(undefined, { t, model: 'other-model' })
  return { worker, other, router: await routerOver([worker, other], { t }) }
})

/** One request through the router: what the worker received, and what the client got back. */
async function relayed(
  request: RawRequestOptions,
  script?: Script,
): Promise<Answered & { readonly received: RecordedRequest }> {
  const { worker, router } = await setup()
  worker.use(script)
  const before = worker.requests.length
  const probesBefore = worker.probes.length
  const answered = await send(router.apiPort, { path, ...request })
  const marked = worker.probes.slice(probesBefore).find(({ target }) => target === request.path)
  const received = worker.requests[before] ?? marked
  assert.ok(received !== undefined, `nothing reached the worker: ${answered.body.bytes}`)
  return { ...answered, received }
}

const valuesOf = (headers: readonly (readonly [string, string])[], name: string): string[] =>
  headers.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value)

describe('a request on its way to the worker', () => {
  test('loses what was between client and router, and keeps the rest', { timeout }, async () => {
    const { received } = await relayed({
      json,
      headers: [
        ['Connection', 'keep-alive, X-Hop, x-other-hop'],
        ['X-Hop', 'secret'],
        ['X-Other-Hop', 'secret'],
        ['Keep-Alive', 'timeout=5'],
        ['Proxy-Authorization', 'Basic secret'],
        ['Proxy-Connection', 'keep-alive'],
        ['TE', 'trailers'],
        ['X-Kept', 'yes'],
        ['X-Twice', 'one'],
        ['X-Twice', 'two'],
        ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
        ['User-Agent', 'test'],
      ],
    })
    for (const name of [
      'x-hop',
      'x-other-hop',
      'keep-alive',
      'proxy-authorization',
      'proxy-connection',
      'te',
    ])
      assert.deepEqual(valuesOf(received.headers, name), [], name)
    assert.ok(!valuesOf(received.headers, 'connection').some((value) => /hop/i.test(value)))
    assert.equal(received.header('x-kept'), 'yes')
    assert.equal(valuesOf(received.headers, 'x-twice').join(', '), 'one, two')
    assert.equal(received.header('traceparent')?.slice(0, 5), '00-0a')
    assert.deepEqual(valuesOf(received.headers, 'user-agent'), ['test'])
    assert.deepEqual(valuesOf(received.headers, 'content-length'), [String(JSON.stringify(json).length)])
    assert.deepEqual(valuesOf(received.headers, 'accept-encoding'), ['identity'])
  })

  test('has the very bytes of each value, outside ASCII too', { timeout }, async () => {
    // One letter of Latin-1, and two of UTF-8, as the header reader shows bytes.
    const values = ['\xfc', '\xc3\xbc\xf0\x9f\x99\x82', 'a  b\tc', '"quoted, with commas", x=1']
    const headers = values.map((value, index): [string, string] => [`x-value-${index}`, value])
    const { received } = await relayed({ json, headers })
    for (const [name, value] of headers) assert.equal(received.header(name), value)
  })

  test('is addressed to the worker', { timeout }, async () => {
    const { worker } = await setup()
    const { received } = await relayed({ json, headers: { host: 'gateway.example' } })
    assert.deepEqual(valuesOf(received.headers, 'host'), [`127.0.0.1:${worker.port}`])
  })

  test('with Expect: 100-continue is asked for its body', { timeout }, async () => {
    const { worker, router } = await setup()
    worker.use(undefined)
    const body = JSON.stringify(json)
    const connection = openConnection({ port: router.apiPort })
    const headers = {
      expect: '100-continue',
      'content-type': 'application/json',
      'content-length': String(body.length),
    }
    const exchange = connection.request({ method: 'POST', path, headers })
    // A client that waits for the 100 sends nothing before it.
    await eventually(() => exchange.firstByteAt, { what: '100 Continue' })
    await connection.write(body)
    const { status, interim } = await exchange.head
    assert.equal(status, 200)
    assert.deepEqual(
      interim.map(({ startLine }) => startLine.split(' ')[1]),
      ['100'],
    )
    const received = worker.requests.at(-1)
    assert.equal(received?.body.toString(), body)
    assert.equal(received?.header('expect'), undefined)
    connection.abort()
  })
})

describe('an answer on its way to the client', () => {
  test('loses what was between worker and router, and keeps the rest', { timeout }, async () => {
    const hop = {
      'keep-alive': 'timeout=5',
      'proxy-authenticate': 'Basic',
      'x-hop': 'secret',
      connection: 'X-Hop',
    }
    const kept = { 'X-Worker-Id': 'worker-7', 'x-ratelimit-remaining': '12', 'cache-control': 'no-store' }
    for (const stream of [false, true]) {
      const body = 'data: [DONE]\n\n'
      const script = stream
        ? [streamHead({ ...hop, ...kept }), chunk(body), lastChunk, completed]
        : answer(200, '{}', { ...hop, ...kept })
      const got = await relayed({ json: { ...json, stream } }, script)
      assert.equal(got.head.status, 200)
      for (const name of ['x-hop', 'proxy-authenticate']) assert.equal(got.head.header(name), undefined, name)
      assert.notEqual(got.head.header('keep-alive'), 'timeout=5')
      for (const [name, value] of Object.entries(kept)) assert.equal(got.head.header(name), value)
      for (const name of ['date', 'content-type', 'x-request-id', 'x-router-worker', 'x-router-attempts'])
        assert.equal(valuesOf(got.head.headers, name).length, 1, name)
    }
  })

  test('says which worker it came from and how many attempts it took', { timeout }, async () => {
    const { worker, router } = await setup()
    const forged = { 'x-router-worker': 'forged', 'x-router-attempts': '99', 'x-request-id': 'forged' }
    const got = await relayed({ json }, answer(200, '{}', forged))
    const { body } = await send(router.operationsPort, { path: '/workers' })
    const { workers } = JSON.parse(body.bytes.toString()) as { workers: { id: string; url: string }[] }
    const id = workers.find(({ url }) => url === worker.url)?.id
    assert.deepEqual(valuesOf(got.head.headers, 'x-router-worker'), [id])
    assert.deepEqual(valuesOf(got.head.headers, 'x-router-attempts'), ['1'])
  })

  test('counts the attempts that failed', { timeout }, async () => {
    const { worker, other, router } = await setup()
    worker.use(resetBeforeHead())
    other.use(undefined)
    // A route without a model: either may serve it.
    const attempts = new Set<string | undefined>()
    for (let request = 0; request < 4; request++) {
      const { head: got } = await send(router.apiPort, { method: 'POST', path: '/any/route', body: 'x' })
      assert.equal(got.status, 200)
      attempts.add(got.header('x-router-attempts'))
    }
    worker.use(undefined)
    assert.ok(attempts.has('2') && attempts.isSubsetOf(new Set(['1', '2'])), `${[...attempts]}`)
  })

  test('keeps two cookies two', { timeout }, async () => {
    const cookies = ['a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT', 'b=2']
    const fields = cookies.map((cookie) => `Set-Cookie: ${cookie}\r\n`).join('')
    const plain = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${fields}content-length: 2\r\n\r\n{}`
    const stream = streamHead().replace('\r\n\r\n', `\r\n${fields}\r\n`)
    const scripts = [
      [plain, completed],
      [stream, chunk('data: [DONE]\n\n'), lastChunk, completed],
    ]
    for (const script of scripts) {
      const { head: got } = await relayed({ json }, script)
      assert.deepEqual(valuesOf(got.headers, 'set-cookie'), cookies)
    }
  })

  test('that is compressed stays as it is', { timeout }, async () => {
    const bytes = gzipSync(JSON.stringify({ text: 'x'.repeat(1000) }))
    const got = await relayed(
      { json, headers: { 'accept-encoding': 'gzip' } },
      answer(200, bytes, { 'content-encoding': 'gzip' }),
    )
    assert.equal(got.head.header('content-encoding'), 'gzip')
    assert.equal(got.head.header('content-length'), String(bytes.length))
    assert.ok(got.body.bytes.equals(bytes))
  })

  for (const [what, request, script] of [
    [
      'to HEAD',
      { method: 'HEAD', path: '/some/file' },
      [head(200, { 'content-length': 5, etag: '"1"' }), completed],
    ],
    ['204', { json }, [head(204, { etag: '"1"' }), completed]],
    ['304', { json }, [head(304, { etag: '"1"' }), completed]],
  ] as const satisfies readonly (readonly [string, RawRequestOptions, Script])[]) {
    test(`without a body (${what}) ends at its head, and the connection serves on`, { timeout }, async () => {
      const { worker, other, router } = await setup()
      worker.use(script)
      // It names no model: either worker may get it.
      if (what === 'to HEAD') for (const one of [worker, other]) one.route('HEAD /some/file', script)
      const connection = openConnection({ port: router.apiPort })
      const exchange = connection.request({ path, ...request })
      const got = await exchange.head
      assert.equal(got.status, what === 'to HEAD' ? 200 : Number(what))
      assert.equal(got.header('etag'), '"1"')
      const body = await exchange.body
      assert.deepEqual([body.bytes.length, body.complete], [0, true])
      worker.use(undefined)
      const next = await connection.request({ path, json }).text()
      assert.equal(next.status, 200)
      assert.ok(JSON.parse(next.text).choices)
      assert.equal(connection.stray.length, 0)
      connection.abort()
    })
  }
})
