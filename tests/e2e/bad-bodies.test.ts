/** Requests that are surely wrong: the status, a message that names the field, and a router that serves on. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { within } from '../support/deadline.ts'
import { openConnection, type RawRequestOptions } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { answer, chunk, lastChunk } from '../support/wire.ts'

const timeout = 60_000
const chat = '/v1/chat/completions'
const messages = [{ role: 'user', content: 'a secret prompt' }]
const good = { model: 'test-model', messages }
const mebibyte = 2 ** 20
const limit = 64 * mebibyte

const setup = shared(async (t) => {
  const worker = await startScriptedWorker(answer(200, '{}'), { t })
  return { worker, router: await routerOver([worker], { t }) }
})

interface Wrong extends RawRequestOptions {
  readonly status?: number
  readonly code?: string
  readonly param?: string | null
  /** Must be in the message. */
  readonly says?: RegExp
}

const type = { 'content-type': 'application/json' }
const wrong: Readonly<Record<string, Wrong>> = {
  'no JSON': { headers: type, body: '{"model": "m",}', code: 'invalid_json', says: /line 1, column 15/ },
  'JSON that ends too early': {
    headers: type,
    body: '{"model":',
    code: 'invalid_json',
    says: /ends at line 1/,
  },
  'an empty body': { headers: type, body: '', code: 'invalid_json', says: /empty/ },
  'bytes that are no UTF-8': { headers: type, body: Buffer.from([0x7b, 0xff, 0x7d]), code: 'invalid_json' },
  'an array': { json: [good], says: /JSON object, received an array/ },
  'a string': { json: 'hello', says: /JSON object, received a string/ },
  'a model that is a number': {
    json: { ...good, model: 7 },
    param: 'model',
    says: /`model` must be .*string, received 7/,
  },
  'messages that are a string': {
    json: { ...good, messages: 'a secret prompt' },
    param: 'messages',
    says: /`messages` must be .*received a string/,
  },
  'no messages': { json: { model: 'm' }, param: 'messages', says: /`messages` is missing/ },
  'a stream that is a word': {
    json: { ...good, stream: 'maybe' },
    param: 'stream',
    says: /`stream` must be .*received a string/,
  },
  'a temperature out of range': {
    json: { ...good, temperature: 3 },
    param: 'temperature',
    says: /`temperature` must be .*2.*received 3/,
  },
  'a wrong content type': {
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: JSON.stringify(good),
    status: 415,
    code: 'unsupported_media_type',
    says: /application\/json/,
  },
}

describe('a chat request', () => {
  for (const [
    what,
    { status = 400, code = 'invalid_request', param = null, says, ...request },
  ] of Object.entries(wrong)) {
    test(`with ${what} gets ${status} ${code}`, { timeout }, async () => {
      const { worker, router } = await setup()
      const before = worker.requests.length
      const { head, body } = await send(router.apiPort, { method: 'POST', path: chat, ...request })
      const text = body.bytes.toString()
      assert.equal(head.status, status, text)
      assert.equal(head.header('content-type'), 'application/json')
      const { error } = JSON.parse(text)
      assert.deepEqual([error.code, error.param, error.type], [code, param, 'invalid_request_error'])
      if (says !== undefined) assert.match(error.message, says)
      assert.doesNotMatch(text, /secret/, 'no piece of a prompt comes back')
      assert.equal(worker.requests.length, before)
    })
  }

  test('with fields that nobody knows passes', { timeout }, async () => {
    const { router } = await setup()
    const json = {
      ...good,
      guided_regex: '.*',
      x: { y: [1] },
      temperature: 2,
      top_p: 1,
      stream: false,
      user: null,
    }
    assert.equal((await send(router.apiPort, { path: chat, json })).head.status, 200)
  })
})

describe('the other routes', () => {
  test('name the field in the same way', { timeout }, async () => {
    const { router } = await setup()
    for (const [path, json, param] of [
      ['/v1/completions', { model: 'm' }, 'prompt'],
      ['/v1/completions', { model: 'm', prompt: 'x', max_tokens: -1 }, 'max_tokens'],
      ['/v1/embeddings', { model: 'm', input: 5 }, 'input'],
      ['/v1/responses', { model: 'm', input: 5 }, 'input'],
      ['/v1/rerank', { model: 5 }, 'model'],
    ] as const) {
      const { head, body } = await send(router.apiPort, { path, json })
      assert.equal(head.status, 400, path)
      const { error } = JSON.parse(body.bytes.toString())
      assert.deepEqual([error.code, error.param], ['invalid_request', param], path)
    }
  })

  test("answer in Anthropic's shape on /v1/messages", { timeout }, async () => {
    const { router } = await setup()
    for (const [request, status, kind, says] of [
      [{ json: { model: 'm', messages: 'hi', max_tokens: 1 } }, 400, 'invalid_request_error', /messages/],
      [{ json: [] }, 400, 'invalid_request_error', /JSON object/],
      [{ method: 'POST', headers: type, body: '{' }, 400, 'invalid_request_error', /line 1/],
      [
        { method: 'POST', headers: { ...type, 'content-length': String(limit + 1) } },
        413,
        'request_too_large',
        /67108864/,
      ],
    ] as const) {
      const { head, body } = await send(router.apiPort, { path: '/v1/messages', ...request })
      assert.equal(head.status, status)
      const { type: shape, error } = JSON.parse(body.bytes.toString())
      assert.deepEqual([shape, error.type], ['error', kind])
      assert.match(error.message, says)
    }
  })
})

describe('a body of', () => {
  const sized = (bytes: number): Buffer => {
    const [open, shut] = ['{"model":"test-model","prompt":"', '"}']
    return Buffer.concat([
      Buffer.from(open),
      Buffer.alloc(bytes - open.length - shut.length, 'x'),
      Buffer.from(shut),
    ])
  }
  const post = { method: 'POST', path: '/v1/completions', headers: type }

  test('exactly the limit is accepted, with its length or in chunks', { timeout }, async () => {
    const { worker, router } = await setup()
    const body = sized(limit)
    const framed = Buffer.concat([
      chunk(body.subarray(0, limit / 2)),
      chunk(body.subarray(limit / 2)),
      Buffer.from(lastChunk),
    ])
    const chunked = { ...post, headers: { ...type, 'transfer-encoding': 'chunked' }, body: framed }
    for (const request of [{ ...post, body }, chunked]) {
      const { head } = await send(router.apiPort, request, 30_000)
      assert.equal(head.status, 200)
      assert.ok(worker.requests.at(-1)?.body.equals(body))
    }
  })

  test('one byte more gets 413, before it is sent when its length says so', { timeout }, async () => {
    const { worker, router } = await setup()
    const before = worker.requests.length
    const declared = { ...post, headers: { ...type, 'content-length': String(limit + 1) } }
    const framed = Buffer.concat([chunk(sized(limit + 1)), Buffer.from(lastChunk)])
    const chunked = { ...post, headers: { ...type, 'transfer-encoding': 'chunked' }, body: framed }
    for (const request of [declared, chunked]) {
      const { head, body } = await send(router.apiPort, request, 30_000)
      assert.equal(head.status, 413)
      const { error } = JSON.parse(body.bytes.toString())
      assert.equal(error.code, 'payload_too_large')
      assert.match(error.message, /67108864 bytes/)
    }
    assert.equal(worker.requests.length, before)
  })

  test('65 MiB, sent whole, gets 413 and not a broken connection', { timeout }, async (t) => {
    const { router } = await setup()
    const connection = openConnection({ port: router.apiPort })
    t.after(() => connection.abort())
    const exchange = connection.request({ ...post, body: sized(65 * mebibyte) })
    assert.equal((await within(20_000, exchange.head, 'an answer')).status, 413)
  })
})

test('after all of that the router serves on', { timeout }, async () => {
  const { worker, router } = await setup()
  const { head, body } = await send(router.apiPort, { path: chat, json: good })
  assert.deepEqual([head.status, body.bytes.toString()], [200, '{}'])
  assert.equal(await router.metric('vllm_router_running_requests', { worker: worker.url }), 0)
  assert.equal(router.stderr(), '')
})
