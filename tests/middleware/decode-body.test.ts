/** Compressed bodies are decoded within the limit, or refused with the ways that are known. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { HeldBytes } from '../../http/held-bytes.ts'
import { decodeBody } from '../../middleware/decode-body.ts'
import { readBody } from '../../middleware/read-body.ts'
import { errorOf, middlewareApp } from '../support/middleware-app.ts'

const limit = 100_000
const ways = {
  gzip: gzipSync,
  'x-gzip': gzipSync,
  deflate: deflateSync,
  // Its usual quality takes seconds for a bomb.
  br: (bytes: Uint8Array) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }),
  zstd: zstdCompressSync,
} as const

async function post(body: Uint8Array, encoding: string): Promise<Response> {
  const chain = [readBody({ limit }), decodeBody({ limit })]
  const { fetch } = middlewareApp(chain, async (c) => {
    const bytes = c.get('body')?.bytes() ?? new Uint8Array()
    const headers = { 'x-decoded': String(c.get('bodyDecoded') === true) }
    return new Response(Uint8Array.from(bytes), { headers })
  })
  return fetch('/', {
    method: 'POST',
    body: Uint8Array.from(body),
    headers: { 'content-encoding': encoding },
  })
}

describe('a body in', () => {
  for (const [encoding, compress] of Object.entries(ways)) {
    test(`${encoding} is decoded`, async () => {
      for (const text of ['{"model":"m"}', 'wörld 🙂'.repeat(1000), '']) {
        const response = await post(compress(Buffer.from(text)), encoding.toUpperCase())
        assert.equal(response.headers.get('x-decoded'), 'true')
        assert.equal(await response.text(), text)
      }
    })

    test(`${encoding} may have exactly the limit, decoded`, async () => {
      const response = await post(compress(Buffer.alloc(limit)), encoding)
      assert.equal((await response.arrayBuffer()).byteLength, limit)
      await errorOf(await post(compress(Buffer.alloc(limit + 1)), encoding), 413, 'payload_too_large')
    })

    test(`${encoding} cannot be a bomb`, async () => {
      const bomb = compress(Buffer.alloc(64 * 1024 * 1024))
      assert.ok(bomb.byteLength < limit, `${bomb.byteLength} bytes`)
      await errorOf(await post(bomb, encoding), 413, 'payload_too_large')
    })

    test(`${encoding} by its header alone is refused`, async () => {
      const error = await errorOf(await post(Buffer.from('{"model":"m"}'), encoding), 400, 'invalid_request')
      assert.match(error.message, /Content-Encoding/)
    })
  }

  test('no encoding at all stays as it is', async () => {
    for (const encoding of ['identity', 'Identity', '']) {
      const response = await post(Buffer.from('text'), encoding)
      assert.equal(response.headers.get('x-decoded'), 'false')
      assert.equal(await response.text(), 'text')
    }
  })

  test('another way, or two of them, is refused by the names of those that are known', async () => {
    for (const encoding of ['compress', 'gzip, br', 'snappy']) {
      const response = await post(Buffer.from('text'), encoding)
      assert.equal(response.headers.get('accept-encoding'), 'gzip, deflate, br, zstd')
      const error = await errorOf(response, 415, 'unsupported_media_type')
      assert.match(error.message, /gzip, deflate, br, zstd/)
    }
  })
})

test('what a body grows by is held until the end of the response, and one that shrinks holds nothing more', async () => {
  const held = new HeldBytes({ limit: 10_000 })
  const { fetch, ends } = middlewareApp([readBody({ held }), decodeBody({ held })])
  const send = (body: Uint8Array) =>
    fetch('/', { method: 'POST', body: Uint8Array.from(body), headers: { 'content-encoding': 'gzip' } })
  assert.equal((await send(gzipSync(Buffer.alloc(9000)))).status, 200)
  assert.equal(held.held, 9000)
  await errorOf(await send(gzipSync(Buffer.alloc(5000))), 503, 'buffers_full')
  for (const end of ends.splice(0)) end()
  assert.equal(held.held, 0)
  const small = gzipSync(Buffer.from('ab'))
  assert.equal((await send(small)).status, 200)
  assert.equal(held.held, small.byteLength)
})

test('a request without a body may say that it is compressed, in a way that is known', async () => {
  const { fetch } = middlewareApp([readBody(), decodeBody()])
  assert.equal((await fetch('/', { headers: { 'content-encoding': 'gzip' } })).status, 200)
  const empty = { method: 'POST', headers: { 'content-encoding': 'gzip' } }
  assert.equal((await fetch('/', empty)).status, 200)
  await errorOf(await fetch('/', { headers: { 'content-encoding': 'lzma' } }), 415, 'unsupported_media_type')
})

test('a body that does not say that it is compressed is left alone', async () => {
  const { fetch } = middlewareApp([readBody(), decodeBody()], async (c) =>
    c.json([c.get('body')?.byteLength, c.get('bodyDecoded') ?? false]),
  )
  assert.deepEqual(await (await fetch('/', { method: 'POST', body: 'abc' })).json(), [3, false])
})
