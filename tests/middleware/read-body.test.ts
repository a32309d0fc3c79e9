import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { HeldBytes } from '../../http/held-bytes.ts'
import { RequestBody } from '../../http/request-body.ts'
import { readBody } from '../../middleware/read-body.ts'
import { errorOf, middlewareApp } from '../support/middleware-app.ts'

function sizeApp(limit?: number) {
  return middlewareApp([readBody(limit === undefined ? {} : { limit })], async (c) =>
    c.json({ size: c.get('body')?.byteLength ?? null }),
  )
}

/** A body that arrives in chunks, without a declared length, and tells whether it was read to its end. */
function chunked(sizes: readonly number[], breakOff?: Error) {
  const state = { pulled: 0, cancelled: false }
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const size = sizes[state.pulled++]
        if (size !== undefined) controller.enqueue(new Uint8Array(size).fill(state.pulled))
        else if (breakOff === undefined) controller.close()
        else controller.error(breakOff)
      },
      cancel() {
        state.cancelled = true
      },
    },
    { highWaterMark: 0 },
  )
  return { state, init: { method: 'POST', body: stream, duplex: 'half' } as RequestInit }
}

describe('reading the body', () => {
  test('bytes come out as they went in', async () => {
    const bytes = Uint8Array.from({ length: 1024 }, (_, i) => i % 256)
    const { fetch } = middlewareApp([readBody()], async (c) =>
      c.body(new Uint8Array(c.get('body')?.bytes() ?? [])),
    )
    const response = await fetch('/', { method: 'POST', body: bytes })
    assert.deepEqual(new Uint8Array(await response.arrayBuffer()), bytes)
  })

  test('chunks are joined in order', async () => {
    const { fetch } = middlewareApp([readBody()], async (c) => c.json([...(c.get('body')?.bytes() ?? [])]))
    assert.deepEqual(await (await fetch('/', chunked([2, 1, 3]).init)).json(), [1, 1, 2, 3, 3, 3])
  })

  test('exactly the limit is accepted', async () => {
    const { fetch } = sizeApp(10)
    assert.deepEqual(await (await fetch('/', { method: 'POST', body: 'x'.repeat(10) })).json(), { size: 10 })
    assert.deepEqual(await (await fetch('/', chunked([5, 5]).init)).json(), { size: 10 })
  })

  test('one byte more is refused, with the limit in the text, and the rest is not read', async () => {
    const { fetch } = sizeApp(10)
    const upload = chunked([5, 6, 5, 5])
    const error = await errorOf(await fetch('/', upload.init), 413, 'payload_too_large')
    assert.match(error.message, /at most 10 bytes/)
    assert.equal(upload.state.pulled, 2)
    assert.equal(upload.state.cancelled, true)
  })

  test('a declared length beyond the limit is refused before a byte is read, with both sizes in the text', async () => {
    const { fetch } = sizeApp(10)
    let reads = 0
    const response = await fetch(
      '/',
      { method: 'POST', headers: { 'content-length': '11' }, body: 'x'.repeat(11) },
      {
        headers: [['Content-Length', '11']],
        body: async () => {
          reads++
          return new RequestBody([])
        },
      },
    )
    const error = await errorOf(response, 413, 'payload_too_large')
    assert.match(error.message, /at most 10 bytes.*has 11 bytes/)
    assert.equal(reads, 0)
  })

  test('an upload that breaks off counts as a client that left', async () => {
    const { fetch, errors } = sizeApp()
    await fetch('/', chunked([5], new Error('connection reset')).init)
    assert.deepEqual(
      errors.map((error) => error.code),
      ['client_closed'],
    )
  })

  test('requests that announce no body have none', async () => {
    const { fetch } = sizeApp()
    for (const method of ['GET', 'DELETE']) {
      assert.deepEqual(await (await fetch('/', { method })).json(), { size: null })
    }
    assert.deepEqual(await (await fetch('/', { method: 'POST' })).json(), { size: 0 })
  })

  test('a DELETE that announces a body has one', async () => {
    const { fetch } = sizeApp()
    const init = { method: 'DELETE', body: 'abc' }
    const response = await fetch('/', init, {
      headers: [['Content-Length', '3']],
    })
    assert.deepEqual(await response.json(), { size: 3 })
  })
})

describe('the memory of all bodies together', () => {
  test('is held from the first byte to the end of the response', async () => {
    const held = new HeldBytes({ limit: 100 })
    const { fetch, ends } = middlewareApp([readBody({ held })])
    await fetch('/', { method: 'POST', body: 'x'.repeat(60) })
    assert.equal(held.held, 60)
    await errorOf(await fetch('/', { method: 'POST', body: 'x'.repeat(60) }), 503, 'buffers_full')
    for (const end of ends) end()
    assert.equal(held.held, 0)
  })

  test('is nothing that a request without a body would hold', async () => {
    const held = new HeldBytes({ limit: 100 })
    const { fetch, ends } = middlewareApp([readBody({ held })])
    await fetch('/')
    assert.deepEqual([held.held, ends.length], [0, 0])
  })
})

test('a GET has a body where it announces one, by its length or by its encoding', async () => {
  const { fetch } = sizeApp()
  const body = async () => new RequestBody([Buffer.from('abc')])
  for (const [name, value, size] of [
    ['Content-Length', '3', 3],
    ['Transfer-Encoding', 'chunked', 3],
    ['Content-Length', '0', null],
  ] as const)
    assert.deepEqual(await (await fetch('/', {}, { headers: [[name, value]], body })).json(), { size })
})
