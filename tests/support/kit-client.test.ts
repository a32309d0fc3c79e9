/** The raw client sends exactly what it is told to, and keeps exactly what comes back. */

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { pause, within } from './deadline.ts'
import { slowBody } from './faults.ts'
import { openConnection, rawRequest } from './raw-client.ts'
import { inTurn, startScriptedWorker } from './scripted-worker.ts'
import { close, head, lastChunk, reset, wait } from './wire.ts'

const chat = '/v1/chat/completions'
const body = { model: 'm', messages: [{ role: 'user', content: 'hi' }] }

describe('the raw client', () => {
  test('keeps the bytes, takes off the chunks, and sees what comes after', async (t) => {
    const wire = `${head(200, { 'Transfer-Encoding': 'chunked', 'X-Odd': 'a' })}2;x\r\nab\r\n1\r\nc\r\n${lastChunk}HTTP/1.1 400`
    const worker = await startScriptedWorker([wire], { t })
    const connection = openConnection(worker)
    const exchange = connection.request({ path: '/x', json: {} })
    assert.equal((await exchange.text()).text, 'abc')
    assert.equal(exchange.raw().toString(), wire)
    assert.equal(connection.stray.toString(), 'HTTP/1.1 400')
    assert.deepEqual((await exchange.head).headers, [
      ['Transfer-Encoding', 'chunked'],
      ['X-Odd', 'a'],
    ])
    connection.abort()
  })

  test('a body without framing ends with FIN, and is cut by a reset', async (t) => {
    const worker = await startScriptedWorker(
      inTurn([head(200), 'abc', close], [head(200), 'abc', wait(20), reset]),
      { t },
    )
    const bodies = [0, 1].map(() => rawRequest({ port: worker.port, path: '/x', json: {} }).body)
    const complete = (await Promise.all(bodies)).map((one) => one.complete)
    assert.deepEqual(complete.toSorted(), [false, true])
  })

  test('an answer without a body ends at its head', async (t) => {
    const worker = await startScriptedWorker(inTurn([head(204)], [head(200, { 'content-length': 5 })]), {
      t,
      everyRoute: true,
    })
    assert.equal((await rawRequest({ port: worker.port, path: '/x' }).text()).status, 204)
    assert.equal((await rawRequest({ port: worker.port, path: '/x', method: 'HEAD' }).text()).status, 200)
  })

  test('events come with their times, one by one', async (t) => {
    const worker = await startScriptedWorker(undefined, { t, tokenMs: 10 })
    const exchange = rawRequest({ port: worker.port, path: chat, json: { ...body, stream: true } })
    const times: number[] = []
    for await (const event of exchange.eachEvent()) times.push(event.at)
    assert.equal(times.length, 8)
    assert.ok((times[7] ?? 0) - (times[0] ?? 0) > 50)
    assert.ok((exchange.firstByteAt ?? 0) <= (times[0] ?? 0) && (times[7] ?? 0) <= (exchange.endedAt ?? 0))
  })

  test('a pause fills the window of the sender', async (t) => {
    let sent = 0
    const megabyte = Buffer.alloc(1_000_000)
    const worker = await startScriptedWorker(
      [
        head(200),
        async (wire) => {
          for (; sent < 30 && !wire.over; sent++) await wire.write(megabyte)
        },
        close,
      ],
      { t },
    )
    const exchange = rawRequest({ port: worker.port, path: '/x', json: {} })
    await exchange.head
    exchange.pauseReading()
    await pause(100)
    const before = sent
    await pause(50)
    assert.equal(sent, before)
    assert.ok(sent < 30)
    exchange.resume()
    assert.equal((await within(5000, exchange.body, 'the rest')).bytes.length, 30_000_000)
  })

  test('five hundred streams at once', async (t) => {
    const worker = await startScriptedWorker(undefined, { t, tokens: 20, tokenMs: 5 })
    const all = Array.from({ length: 500 }, () =>
      rawRequest({ port: worker.port, path: chat, json: { ...body, stream: true } }),
    )
    const bodies = await within(10_000, Promise.all(all.map((exchange) => exchange.body)), '500 streams')
    assert.ok(bodies.every(({ complete }) => complete))
    assert.ok(all.every(({ events }) => events.length === 23))
    assert.equal(worker.completed.get(''), 500)
  })

  test('a port that refuses is given to nobody else', async (t) => {
    const worker = await startScriptedWorker({ ...slowBody(), refuses: true }, { t })
    const code = await new Promise((resolve) => {
      connect(worker.port, '127.0.0.1').on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    })
    assert.equal(code, 'ECONNREFUSED')
    const others = await Promise.all(Array.from({ length: 50 }, () => startScriptedWorker(undefined, { t })))
    assert.ok(others.every(({ port }) => port !== worker.port))
    await worker.reopen()
    assert.equal((await rawRequest({ port: worker.port, path: '/health' }).text()).status, 200)
  })
})
