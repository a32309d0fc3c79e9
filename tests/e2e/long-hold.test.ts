/** A long prefill behind load balancers: comments keep the connection, and the request can still be saved. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { type Api, apiRequest, apis } from '../support/api-bodies.ts'
import { within } from '../support/deadline.ts'
import { assertBooks } from '../support/failure-books.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { answer, chunk, head, lastChunk, reset, type Script, streamHead, wait } from '../support/wire.ts'

const timeout = 30_000
const early = ['--hold-comment-after-secs', '0.3']
const streaming = apis.filter(({ streams }) => streams)
const comment = ': waiting for the first token\n\n'

async function streamOf(port: number, api: Api) {
  const exchange = rawRequest({ port, ...apiRequest({ api, stream: true }) })
  const { text } = await within(10_000, exchange.text(), 'an end')
  const firstMs = (exchange.firstByteAt ?? Number.NaN) - exchange.sentAt
  return { text, firstMs, head: await exchange.head }
}

describe('a stream without a first token', () => {
  for (const api of streaming) {
    test(`${api.name}: the head and a comment come first, then the whole answer`, { timeout }, async (t) => {
      const worker = await startScriptedWorker(undefined, { t })
      worker.use((request) => [streamHead(), wait(900), ...worker.healthy(request).slice(1)])
      const router = await routerOver([worker], { t, args: early })
      const { text, firstMs, head: got } = await streamOf(router.apiPort, api)
      const { prelude, tokens, finish } = worker.answerTo(worker.requests[0]!)
      assert.equal(text, comment + [...prelude, ...tokens, ...finish].join(''))
      assert.ok(firstMs >= 290 && firstMs < 850, `first byte after ${firstMs} ms`)
      assert.match(got.header('content-type') ?? '', /^text\/event-stream/)
      await assertBooks(router, { ends: { completed: 1 }, streams: { completed: 1 }, workers: 1 })
    })
  }

  test('whose worker dies later is still served by another', { timeout }, async (t) => {
    const dying = await startScriptedWorker([streamHead(), wait(900), reset], { t })
    const other = await startScriptedWorker(undefined, { t })
    const router = await routerOver([dying, other], { t, args: early })
    const chat = streaming[0]!
    let got = await streamOf(router.apiPort, chat)
    if (dying.requests.length === 0) got = await streamOf(router.apiPort, chat)
    const { prelude, tokens, finish } = other.answerTo(other.requests.at(-1)!)
    assert.equal(got.text, comment + [...prelude, ...tokens, ...finish].join(''))
  })

  for (const api of streaming) {
    test(`${api.name}: a late error of the worker's becomes an error event`, { timeout }, async (t) => {
      const body = JSON.stringify({
        type: 'error',
        error: { message: 'too long', type: 'BadRequestError', code: 400 },
      })
      const worker = await startScriptedWorker([wait(700), ...answer(400, body)], { t })
      const router = await routerOver([worker], { t, args: early })
      const { text, head: got } = await streamOf(router.apiPort, api)
      assert.equal(got.status, 200)
      assert.ok(text.startsWith(comment) && text.endsWith('\n\n'), text)
      assert.match(text, /too long/)
      assert.doesNotMatch(text, /\[DONE\]|message_stop|response\.completed/)
      await assertBooks(router, { ends: { worker_error: 1 }, streams: { worker_error: 1 }, workers: 1 })
    })

    test(`${api.name}: a late error of the router's becomes an error event`, { timeout }, async (t) => {
      const worker = await startScriptedWorker([streamHead(), wait(700), reset], { t })
      const router = await routerOver([worker], { t, args: [...early, '--disable-retries'] })
      const { text } = await streamOf(router.apiPort, api)
      assert.match(text, /"code":"worker_unreachable"/)
      const ends = { worker_unreachable: 1 }
      await assertBooks(router, { ends, streams: ends, workers: 1 })
    })
  }

  test('whose client leaves is ended at the worker at once', { timeout }, async (t) => {
    const worker = await startScriptedWorker([streamHead(), wait(20_000)], { t })
    const router = await routerOver([worker], { t, args: early })
    const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ stream: true }) })
    await within(5000, exchange.head, 'the head')
    exchange.abort()
    await within(1000, worker.requests[0]!.connection.peerClosed, 'the end of its socket')
    await assertBooks(router, { ends: { client_closed: 1 }, streams: { client_closed: 1 }, workers: 1 })
  })

  test('gets the comments of its worker from the first that comes later than a greeting', {
    timeout,
  }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const ping = chunk(': ping\n\n')
    worker.use((request) => [
      streamHead(),
      ping,
      wait(500),
      ping,
      wait(500),
      ping,
      ...worker.healthy(request).slice(1),
    ])
    const router = await routerOver([worker], { t })
    const { text, firstMs } = await streamOf(router.apiPort, streaming[0]!)
    assert.ok(firstMs < 900, `first byte after ${firstMs} ms`)
    assert.equal(text.split(': ping').length, 4)
    const { prelude, tokens, finish } = worker.answerTo(worker.requests[0]!)
    assert.ok(text.endsWith([...prelude, ...tokens, ...finish].join('')), text)
  })

  describe('is read, comments and all,', () => {
    const messages = [{ role: 'user' as const, content: 'hi' }]
    const rest = { apiKey: 'none', maxRetries: 0 }

    async function slowRouter(t: TestContext) {
      const worker = await startScriptedWorker(undefined, { t, tokenMs: 250 })
      worker.use((request) => [streamHead(), wait(700), ...worker.healthy(request).slice(1)])
      return routerOver([worker], { t, args: [...early, '--sse-keepalive-secs', '0.1'] })
    }

    test("by OpenAI's client", { timeout }, async (t) => {
      const client = new OpenAI({ baseURL: `${(await slowRouter(t)).api}/v1`, ...rest })
      const stream = await client.chat.completions.create({ model: 'test-model', messages, stream: true })
      let text = ''
      for await (const { choices } of stream) text += choices[0]?.delta.content ?? ''
      assert.notEqual(text, '')
    })

    test("by Anthropic's client", { timeout }, async (t) => {
      const client = new Anthropic({ baseURL: (await slowRouter(t)).api, ...rest })
      const stream = client.messages.stream({ model: 'test-model', messages, max_tokens: 5 })
      const { content } = await stream.finalMessage()
      assert.ok(content.some((part) => part.type === 'text' && part.text !== ''))
    })
  })
})

test('a plain request, or one for sound, gets no comments', { timeout }, async (t) => {
  const sound: Script = [head(200, { 'content-type': 'audio/pcm', 'transfer-encoding': 'chunked' })]
  const piece = chunk(Buffer.alloc(100, 1))
  const worker = await startScriptedWorker(undefined, { t })
  worker.use((request) =>
    request.path === '/v1/audio/speech'
      ? [...sound, wait(100), piece, wait(1500), piece, lastChunk]
      : [wait(700), ...worker.healthy(request)],
  )
  const router = await routerOver([worker], { t, args: early })
  const plain = await within(
    5000,
    rawRequest({ port: router.apiPort, ...apiRequest() }).text(),
    'a plain answer',
  )
  assert.doesNotMatch(plain.text, /waiting/)
  const json = { model: 'test-model', input: 'x', voice: 'v', stream: true }
  const exchange = rawRequest({ port: router.apiPort, path: '/v1/audio/speech', json })
  const { bytes } = await within(5000, exchange.body, 'the sound')
  assert.deepEqual(bytes, Buffer.alloc(200, 1))
  const firstMs = (exchange.firstByteAt ?? Number.NaN) - exchange.sentAt
  assert.ok(firstMs < 1000, `first byte after ${firstMs} ms`)
})

test('a committed stream gets a comment in each of its silences, where that is asked for', {
  timeout,
}, async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  worker.use((request) => {
    const { prelude, tokens, finish } = worker.answerTo(request)
    return [streamHead(), ...[...prelude, ...tokens].map(chunk), wait(700), ...finish.map(chunk), lastChunk]
  })
  const router = await routerOver([worker], { t, args: ['--sse-keepalive-secs', '0.2'] })
  const { text } = await streamOf(router.apiPort, streaming[0]!)
  const comments = text.split(': keep-alive\n\n').length - 1
  assert.ok(comments >= 2 && comments <= 4, `${comments} comments`)
  const { prelude, tokens, finish } = worker.answerTo(worker.requests[0]!)
  assert.equal(text.replaceAll(': keep-alive\n\n', ''), [...prelude, ...tokens, ...finish].join(''))
})
