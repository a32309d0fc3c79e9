/** The scripted worker is a healthy vLLM server unless told otherwise, does what scripts say, and records truly. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { tokenText } from './answers.ts'
import { pause, within } from './deadline.ts'
import { slowBody } from './faults.ts'
import { openConnection, rawRequest } from './raw-client.ts'
import { inTurn, startScriptedWorker } from './scripted-worker.ts'
import { answer, chunk, close, hang, reset, streamHead, until, wait } from './wire.ts'

const chat = '/v1/chat/completions'
const body = { model: 'm', messages: [{ role: 'user', content: 'hi' }] }
const wholeText = [0, 1, 2, 3, 4].map(tokenText).join('')

describe('a healthy scripted worker', () => {
  test('answers the routes of a vLLM server', async (t) => {
    const worker = await startScriptedWorker(undefined, { t, model: 'some-model' })
    const get = async (path: string) => await rawRequest({ port: worker.port, path }).text()
    assert.equal((await get('/health')).status, 200)
    assert.equal(JSON.parse((await get('/v1/models')).text).data[0].id, 'some-model')
    assert.equal((await get('/metrics')).status, 404)
    assert.equal(worker.probes.length, 3)
    assert.equal(worker.requests.length, 0)
  })

  test('gives plain answers of the right kind', async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const post = async (path: string) =>
      JSON.parse((await rawRequest({ port: worker.port, path, json: body }).text()).text)
    assert.equal((await post(chat)).choices[0].message.content, wholeText)
    assert.equal((await post('/v1/completions')).choices[0].text, wholeText)
    assert.equal((await post('/v1/messages')).content[0].text, wholeText)
    assert.equal((await post('/v1/responses')).output[0].content[0].text, wholeText)
    assert.equal((await post('/v1/embeddings')).data[0].embedding.length, 4)
    assert.equal((await post('/v1/messages/count_tokens')).input_tokens, 3)
  })

  test('gives streams whose tokens make up the plain answer', async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const texts: Record<string, (event: { data: string; event: string }) => string> = {
      [chat]: ({ data }) => JSON.parse(data).choices[0]?.delta.content ?? '',
      '/v1/completions': ({ data }) => JSON.parse(data).choices[0].text,
      '/v1/messages': ({ data, event }) =>
        event === 'content_block_delta' ? JSON.parse(data).delta.text : '',
      '/v1/responses': ({ data, event }) =>
        event === 'response.output_text.delta' ? JSON.parse(data).delta : '',
    }
    for (const [path, text] of Object.entries(texts)) {
      const exchange = rawRequest({ port: worker.port, path, json: { ...body, stream: true } })
      assert.ok((await exchange.body).complete)
      const events = exchange.events.filter(({ data }) => data !== '[DONE]')
      assert.equal(events.map(text).join(''), wholeText, path)
    }
  })

  test('sends usage only when it is asked for', async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const ask = async (rest: object) => {
      const exchange = rawRequest({ port: worker.port, path: chat, json: { ...body, stream: true, ...rest } })
      await exchange.body
      return exchange.events.at(-2)?.data ?? ''
    }
    assert.ok(!(await ask({})).includes('usage'))
    assert.equal(
      JSON.parse(await ask({ stream_options: { include_usage: true } })).usage.completion_tokens,
      5,
    )
  })
})

describe('what a scripted worker records', () => {
  test('requests byte for byte, header names and repeated headers included', async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const bytes = Buffer.from(
      'POST /x?q=1 HTTP/1.1\r\nHoSt: a\r\nX-A: 1\r\nX-A:  2 \r\nContent-Length: 3\r\n\r\n\x00\xff\n',
      'latin1',
    )
    await rawRequest({ port: worker.port, bytes }).text()
    const request = await worker.received()
    assert.equal(request.method, 'POST')
    assert.equal(request.target, '/x?q=1')
    assert.equal(request.path, '/x')
    assert.deepEqual(request.headers, [
      ['HoSt', 'a'],
      ['X-A', '1'],
      ['X-A', '2'],
      ['Content-Length', '3'],
    ])
    assert.deepEqual(request.body, Buffer.from([0x00, 0xff, 0x0a]))
  })

  test('bodies in chunks, and in pieces over time', async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const connection = openConnection(worker)
    const exchange = connection.request({
      method: 'POST',
      path: '/x',
      headers: { 'transfer-encoding': 'chunked' },
    })
    for (const piece of ['3\r\nab', 'c\r', '\n2;ext=1\r\nde\r\n0\r\nTrailer: 1\r\n\r\n']) {
      await connection.write(piece)
      await pause(2)
    }
    await exchange.text()
    const request = await worker.received()
    assert.equal(request.body.toString(), 'abcde')
    assert.ok((request.completeAt ?? 0) > request.at)
    connection.abort()
  })

  test('which requests came on a connection used before', async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const connection = openConnection(worker)
    for (let count = 0; count < 3; count++) {
      await connection.request({ path: '/x', json: {}, headers: { 'x-request-id': `r${count % 2}` } }).text()
    }
    connection.abort()
    await rawRequest({ port: worker.port, path: '/x', json: {} }).text()
    assert.deepEqual(
      worker.requests.map(({ reused }) => reused),
      [false, true, true, false],
    )
    assert.deepEqual(
      worker.connections.map(({ requests }) => requests.length),
      [3, 1],
    )
    assert.deepEqual(
      [...worker.completed],
      [
        ['r0', 2],
        ['r1', 1],
        ['', 1],
      ],
    )
  })

  for (const [how, reset] of [
    ['fin', false],
    ['reset', true],
  ] as const) {
    test(`when and how the client left: ${how}`, async (t) => {
      const worker = await startScriptedWorker([streamHead(), chunk('data: 1\n\n'), hang], { t })
      const exchange = rawRequest({ port: worker.port, path: chat, json: body })
      await within(1000, exchange.firstEvents(1), 'the first event')
      const connection = worker.connections[0]
      assert.equal(connection?.closedAt, undefined)
      const leftAt = performance.now()
      exchange.abort({ reset })
      const closed = await within(1000, connection?.peerClosed ?? Promise.reject(), 'the close')
      assert.equal(closed.how, how)
      assert.ok(closed.at >= leftAt && closed.at - leftAt < 500)
      assert.equal(connection?.closedAt, closed.at)
      assert.equal(worker.completed.size, 0)
    })
  }

  test('a client that leaves while the worker writes', async (t) => {
    const worker = await startScriptedWorker(slowBody(5), { t, tokens: 1000 })
    const exchange = rawRequest({ port: worker.port, path: chat, json: { ...body, stream: true } })
    await within(1000, exchange.firstEvents(3), 'three events')
    exchange.abort()
    await within(1000, worker.connections[0]?.peerClosed ?? Promise.reject(), 'the close')
  })
})

describe('scripts', () => {
  test('are chosen by request, and can be changed while the worker runs', async (t) => {
    const worker = await startScriptedWorker((request) => (request.path === '/a' ? answer(500) : undefined), {
      t,
    })
    const status = async (path: string) =>
      (await rawRequest({ port: worker.port, path, json: {} }).text()).status
    assert.deepEqual([await status('/a'), await status('/b')], [500, 200])
    worker.use(inTurn(answer(503), undefined, answer(429)))
    assert.deepEqual(
      [await status('/a'), await status('/a'), await status('/a'), await status('/a')],
      [503, 200, 429, 429],
    )
    worker.use(undefined)
    assert.equal(await status('/a'), 200)
  })

  test('spare the probes, unless a route is changed or every route is struck', async (t) => {
    const worker = await startScriptedWorker([reset], { t })
    const health = async () => (await rawRequest({ port: worker.port, path: '/health' }).head).status
    assert.equal(await health(), 200)
    worker.route('GET /health', answer(503))
    assert.equal(await health(), 503)
    const dead = await startScriptedWorker([reset], { t, everyRoute: true })
    await assert.rejects(rawRequest({ port: dead.port, path: '/health' }).head, /reset in head/)
  })

  test('wait for what the test decides', async (t) => {
    const gate = Promise.withResolvers<void>()
    const worker = await startScriptedWorker([until(gate.promise), ...answer(200, 'x')], { t })
    const exchange = rawRequest({ port: worker.port, path: '/x', json: {} })
    await worker.received()
    assert.equal(exchange.firstByteAt, undefined)
    gate.resolve()
    assert.equal((await exchange.text()).text, 'x')
  })

  test('can run before a request comes, and before its body does', async (t) => {
    const busy = await startScriptedWorker(undefined, { t, onConnection: () => [reset] })
    assert.equal((await openConnection(busy).closed).how, 'reset')
    const early = await startScriptedWorker(undefined, { t, atHead: () => [...answer(413), close] })
    const headers = { 'content-length': '1000' }
    assert.equal((await rawRequest({ port: early.port, method: 'POST', headers }).text()).status, 413)
  })

  test('stop when the client is gone', async (t) => {
    const worker = await startScriptedWorker([wait(20), ...answer(200)], { t })
    const exchange = rawRequest({ port: worker.port, path: '/x', json: {} })
    const request = await worker.received()
    exchange.abort()
    await pause(40)
    assert.equal(request.completedAt, undefined)
  })
})

describe('the life of a scripted worker', () => {
  test('a crash resets and refuses, on the same port it comes back', async (t) => {
    const worker = await startScriptedWorker([hang], { t })
    const exchange = rawRequest({ port: worker.port, path: '/x', json: {} })
    await worker.received()
    await worker.crash()
    assert.equal((await exchange.connection.closed).how, 'reset')
    assert.equal((await openConnection(worker).closed).code, 'ECONNREFUSED')
    await worker.reopen()
    assert.equal((await rawRequest({ port: worker.port, path: '/health' }).text()).status, 200)
  })

  test('idle connections are closed after the keep-alive time', async (t) => {
    const worker = await startScriptedWorker(undefined, { t, keepAliveMs: 30 })
    const connection = openConnection(worker)
    await connection.request({ path: '/health' }).text()
    assert.equal((await within(1000, connection.closed, 'the close')).how, 'fin')
  })
})
