/** The TCP fault proxy spoils the line in the way it says, and can be switched while connections are open. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually, pause, within } from './deadline.ts'
import { openConnection, rawRequest } from './raw-client.ts'
import { startScriptedWorker } from './scripted-worker.ts'
import { startTcpProxy, type TcpProxyOptions } from './tcp-proxy.ts'
import { answer, hang } from './wire.ts'

async function lineTo(t: TcpProxyOptions['t'] & object, options: Partial<TcpProxyOptions> = {}) {
  const worker = await startScriptedWorker(undefined, { t })
  const proxy = await startTcpProxy({ target: worker.port, t, ...options })
  return { worker, proxy }
}

const stream = { model: 'm', messages: [], stream: true }
const chat = '/v1/chat/completions'

describe('the TCP fault proxy', () => {
  test('changes nothing unless told', async (t) => {
    const { worker, proxy } = await lineTo(t)
    const through = rawRequest({ port: proxy.port, path: chat, json: stream })
    const direct = rawRequest({ port: worker.port, path: chat, json: stream })
    assert.ok((await through.body).complete)
    await direct.body
    assert.deepEqual((await through.body).bytes, (await direct.body).bytes)
    await eventually(() => proxy.open === 0, { what: 'the connection is over' })
  })

  test('a client that leaves is seen behind it, by FIN and by reset', async (t) => {
    const { worker, proxy } = await lineTo(t)
    worker.use([hang])
    for (const reset of [false, true]) {
      const exchange = rawRequest({ port: proxy.port, path: chat, json: stream })
      const { connection } = await within(1000, worker.received(worker.requests.length + 1), 'the request')
      exchange.abort({ reset })
      const { how } = await within(1000, connection.peerClosed, 'the close')
      assert.equal(how, reset ? 'reset' : 'fin')
    }
  })

  test('latency', async (t) => {
    const { proxy } = await lineTo(t, { latencyMs: 40 })
    const exchange = rawRequest({ port: proxy.port, path: '/health' })
    await exchange.text()
    const took = (exchange.firstByteAt ?? 0) - exchange.sentAt
    assert.ok(took >= 79 && took < 400, `${took} ms`)
  })

  test('bandwidth', async (t) => {
    const { worker, proxy } = await lineTo(t, { bytesPerSecond: 100_000 })
    worker.use(answer(200, 'x'.repeat(30_000)))
    const exchange = rawRequest({ port: proxy.port, path: '/x', json: {} })
    await exchange.text()
    const took = (exchange.endedAt ?? 0) - exchange.sentAt
    assert.ok(took >= 250 && took < 1500, `${took} ms`)
  })

  test('slivers: the same bytes in many pieces', async (t) => {
    const { proxy } = await lineTo(t, { slivers: 30 })
    let pieces = 0
    const exchange = rawRequest({ port: proxy.port, path: chat, json: stream })
    for await (const event of exchange.eachEvent()) pieces += event.at > 0 ? 1 : 0
    assert.equal(pieces, 8)
    assert.ok((await exchange.body).complete)
    const last = exchange.events.at(-1)?.at ?? 0
    assert.ok(last - (exchange.firstByteAt ?? 0) > 3, 'the pieces did not come in one go')
  })

  for (const blackhole of ['both', 'to-client', 'to-target'] as const) {
    test(`blackhole ${blackhole}: open, silent, and what was held comes when it is lifted`, async (t) => {
      const { worker, proxy } = await lineTo(t)
      proxy.set({ blackhole })
      const exchange = rawRequest({ port: proxy.port, path: '/x', json: {} })
      if (blackhole === 'to-client') await within(1000, worker.received(), 'the request')
      await pause(60)
      assert.equal(exchange.firstByteAt, undefined)
      assert.equal(exchange.endedAt, undefined)
      assert.equal(worker.requests.length, blackhole === 'to-client' ? 1 : 0)
      proxy.set({ blackhole: 'none' })
      assert.equal((await within(1000, exchange.text(), 'the answer')).status, 200)
    })
  }

  test('a blackhole hides that the client left', async (t) => {
    const { worker, proxy } = await lineTo(t)
    worker.use([hang])
    const exchange = rawRequest({ port: proxy.port, path: '/x', json: {} })
    const { connection } = await within(1000, worker.received(), 'the request')
    proxy.set({ blackhole: 'to-target' })
    exchange.abort()
    await pause(60)
    assert.equal(connection.closedAt, undefined)
    proxy.set({ blackhole: 'none' })
    await within(1000, connection.peerClosed, 'the close')
  })

  test('half-close: the client sees the end, the worker does not', async (t) => {
    const { worker, proxy } = await lineTo(t)
    worker.use([hang])
    const exchange = rawRequest({ port: proxy.port, path: '/x', json: {} })
    const { connection } = await within(1000, worker.received(), 'the request')
    proxy.set({ blackhole: 'to-target' })
    proxy.halfClose('to-client')
    assert.equal((await within(1000, exchange.body, 'the end')).fault, 'fin in head')
    assert.equal(connection.closedAt, undefined)
  })

  test('reset of all: both sides get RST', async (t) => {
    const { worker, proxy } = await lineTo(t)
    worker.use([hang])
    const exchanges = [1, 2].map(() => rawRequest({ port: proxy.port, path: '/x', json: {} }))
    await within(1000, worker.received(2), 'two requests')
    proxy.resetAll()
    for (const exchange of exchanges) {
      const closed = await within(1000, exchange.connection.closed, 'the reset')
      assert.deepEqual([closed.how, closed.code], ['reset', 'ECONNRESET'])
    }
    for (const { peerClosed } of worker.connections) {
      assert.equal((await within(1000, peerClosed, 'the reset')).how, 'reset')
    }
  })

  test('refuse and accept again, while an open connection stays', async (t) => {
    const { proxy } = await lineTo(t)
    const kept = openConnection(proxy)
    await kept.request({ path: '/health' }).text()
    await proxy.refuse()
    const refused = await within(1000, openConnection(proxy).closed, 'the refusal')
    assert.equal(refused.code, 'ECONNREFUSED')
    assert.equal((await kept.request({ path: '/health' }).text()).status, 200)
    await proxy.accept()
    assert.equal((await rawRequest({ port: proxy.port, path: '/health' }).text()).status, 200)
    kept.abort()
  })

  test('a target that is gone resets the client', async (t) => {
    const { worker, proxy } = await lineTo(t)
    await worker.crash()
    const closed = await within(1000, openConnection(proxy).closed, 'the end')
    assert.equal(closed.how, 'reset')
  })
})
