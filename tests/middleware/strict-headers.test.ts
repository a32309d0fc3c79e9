import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { strictHeaders } from '../../middleware/strict-headers.ts'
import { errorOf, middlewareApp } from '../support/middleware-app.ts'

type Headers = readonly (readonly [string, string])[]

const { fetch } = middlewareApp([strictHeaders({ maxBytes: 1000 })])
const send = (headers: Headers) => fetch('/', {}, { headers })

describe('ambiguous request headers', () => {
  const refused: Record<string, Headers> = {
    'two Host fields': [
      ['Host', 'a'],
      ['host', 'b'],
    ],
    'two Host fields merged by the runtime': [['host', 'a, b']],
    'an empty Host': [['Host', '']],
    'a Host with a path': [['Host', 'gateway/v1']],
    'a Host with a name before it': [['Host', 'user@gateway']],
    'a Host whose port is none': [['Host', 'gateway:http']],
    'a transfer encoding besides chunked': [['Transfer-Encoding', 'gzip, chunked']],
    'chunked twice': [
      ['transfer-encoding', 'chunked'],
      ['transfer-encoding', 'chunked'],
    ],
    'an obfuscated chunked': [['Transfer-Encoding', 'xchunked']],
    'Content-Length and Transfer-Encoding': [
      ['Content-Length', '5'],
      ['Transfer-Encoding', 'chunked'],
    ],
    'two Content-Length fields': [
      ['content-length', '5'],
      ['Content-Length', '6'],
    ],
    'two lengths in one field': [['content-length', '5, 5']],
    'a length with a sign': [['content-length', '+5']],
    'an empty length': [['content-length', '']],
  }
  for (const [name, headers] of Object.entries(refused)) {
    test(`${name}: 400`, async () => {
      const error = await errorOf(await send(headers), 400, 'invalid_request')
      assert.match(error.message, /Host|Content-Length|Transfer-Encoding/)
    })
  }

  test('which field is wrong, and how, is told', async () => {
    for (const [name, rule] of [
      ['two Host fields', 'Host must be given once'],
      ['an empty Host', 'Host must be a name or an address'],
      ['chunked twice', 'Transfer-Encoding must be given once'],
      ['an obfuscated chunked', 'Transfer-Encoding may only be chunked'],
      ['two Content-Length fields', 'Content-Length must be given once'],
      ['a length with a sign', 'Content-Length must be one whole number'],
      ['Content-Length and Transfer-Encoding', 'Content-Length and Transfer-Encoding exclude each other'],
    ] as const) {
      const { message } = await errorOf(await send(refused[name]!), 400, 'invalid_request')
      assert.equal(message, `The request headers are ambiguous: ${rule}.`)
    }
  })

  test('ordinary requests pass, however the names are spelled', async () => {
    for (const headers of [
      [],
      [
        ['HOST', 'gateway:8080'],
        ['Content-Length', '12'],
      ],
      [
        ['host', '[::1]:8080'],
        ['Transfer-Encoding', 'Chunked'],
      ],
      // Names of the same length are told apart.
      [
        ['date', 'a, b'],
        ['host', 'x'],
        ['x-content-type', 'abc'],
        ['x-request-id-abcd', 'gzip'],
      ],
    ] as Headers[]) {
      assert.equal((await send(headers)).status, 200)
    }
  })

  test('headers beyond the limit: 431, exactly the limit passes', async () => {
    await errorOf(await send([['x-big', 'x'.repeat(996)]]), 431, 'headers_too_large')
    assert.equal((await send([['x-big', 'x'.repeat(995)]])).status, 200)
  })
})
