/** A stream that is pushed to a client of the listener: its framing, a client that is slow, one that leaves, a break. */

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { detectRuntime } from '../../../app/runtime/detect.ts'
import { TransportError } from '../../../app/upstream/http-client.ts'
import { eventually, within } from '../../support/deadline.ts'
import { HandMadeBody } from '../../support/hand-made-body.ts'

const timeout = 30_000

/** A listener that answers the n-th request with the n-th body. */
async function listening(t: TestContext) {
  const bodies = [new HandMadeBody(), new HandMadeBody()]
  let asked = 0
  const listener = await (await detectRuntime()).listen({
    host: '127.0.0.1',
    port: 0,
    fetch: (_, { incoming }) => {
      const body = bodies[asked++]!
      return new Response(incoming.openStream(body), { headers: { 'content-type': 'text/event-stream' } })
    },
  })
  t.after(() => listener.close(0))
  return { bodies, port: listener.port, asked: () => asked }
}

function client(t: TestContext, port: number, ...versions: ('1.0' | '1.1')[]) {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  let end: string | undefined
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.once('error', (error) => {
    end = (error as NodeJS.ErrnoException).code
  })
  socket.once('close', () => {
    end ??= 'closed'
  })
  t.after(() => socket.destroy())
  for (const version of versions) socket.write(`GET / HTTP/${version}\r\nHost: x\r\n\r\n`)
  const has = (what: string) => eventually(() => text.includes(what), { what })
  return { socket, has, text: () => text, ended: () => eventually(() => end, { what: 'the end' }) }
}

/** The body of an answer in chunks. */
function unchunked(answer: string): string {
  let body = ''
  let rest = answer.slice(answer.indexOf('\r\n\r\n') + 4)
  for (;;) {
    const [line = ''] = rest.split('\r\n', 1)
    const size = Number.parseInt(line, 16)
    assert.ok(Number.isInteger(size), `a size: ${JSON.stringify(line)}`)
    const begin = line.length + 2
    if (size === 0) return body
    assert.equal(rest.slice(begin + size, begin + size + 2), '\r\n')
    body += rest.slice(begin, begin + size)
    rest = rest.slice(begin + size + 2)
  }
}

const end = '0\r\n\r\n'

describe('a stream that is pushed to its client', () => {
  test('goes out in chunks, piece by piece, and the connection serves on', { timeout }, async (t) => {
    const { bodies, port } = await listening(t)
    const { socket, has, text } = client(t, port, '1.1')
    for (const piece of ['one', 'two '.repeat(5000), 'three']) {
      bodies[0]?.put(piece)
      await has(piece.slice(-5))
    }
    bodies[0]?.put(undefined)
    await has(end)
    const first = text()
    assert.equal(unchunked(first), `one${'two '.repeat(5000)}three`)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    bodies[1]?.put('again', 'and again', undefined)
    await eventually(() => text().slice(first.length).includes(end), { what: 'the second answer' })
    assert.equal(unchunked(text().slice(first.length)), 'againand again')
  })

  test('has no chunks for a client of HTTP/1.0: the end of the connection is its end', {
    timeout,
  }, async (t) => {
    const { bodies, port } = await listening(t)
    const { has, text, ended } = client(t, port, '1.0')
    for (const piece of ['one', 'two', 'three']) {
      bodies[0]?.put(piece)
      await has(piece)
    }
    bodies[0]?.put(undefined)
    assert.equal(await ended(), 'closed')
    assert.ok(text().endsWith('\r\n\r\nonetwothree'), text())
    assert.ok(!/transfer-encoding/i.test(text()))
  })

  test('waits for the answer before it on the same connection', { timeout }, async (t) => {
    const { bodies, port } = await listening(t)
    const { text } = client(t, port, '1.1', '1.1')
    bodies[1]?.put('later', 'still later', undefined)
    bodies[0]?.put('first', undefined)
    await eventually(() => text().split(end).length === 3, { what: 'two answers' })
    const [first = '', second = ''] = text().split(end)
    assert.equal(unchunked(first + end), 'first')
    assert.equal(unchunked(second + end), 'laterstill later')
  })

  test('stops for a client that does not read, and loses nothing', { timeout }, async (t) => {
    const { bodies, port } = await listening(t)
    const { socket, has, text } = client(t, port, '1.1')
    bodies[0]?.put('begun')
    await has('begun')
    socket.pause()
    let sent = 'begun'
    const body = bodies[0]!
    for (let piece = 0; !body.waits; piece++) {
      assert.ok(piece < 2000, 'it takes whatever comes')
      const bytes = `${piece} `.repeat(8192)
      body.put(bytes)
      sent += bytes
      if (piece % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    body.put('the last', undefined)
    socket.resume()
    await within(10_000, has(end), 'the rest')
    assert.ok(unchunked(text()) === `${sent}the last`, 'the bytes are others')
  })

  test('is cancelled when its client leaves', { timeout }, async (t) => {
    const { bodies, port } = await listening(t)
    const { socket, has } = client(t, port, '1.1')
    bodies[0]?.put('one')
    await has('one')
    socket.destroy()
    await eventually(() => bodies[0]?.cancelled, { what: 'the end of the source' })
  })

  for (const version of ['1.0', '1.1'] as const) {
    test(`resets the connection when it breaks, HTTP/${version}`, { timeout }, async (t) => {
      const { bodies, port } = await listening(t)
      const { has, text, ended } = client(t, port, version)
      bodies[0]?.put('one')
      await has('one')
      bodies[0]?.put(new TransportError('reset', 'ECONNRESET'))
      assert.equal(await ended(), 'ECONNRESET')
      assert.ok(!text().includes(end))
    })
  }
})
