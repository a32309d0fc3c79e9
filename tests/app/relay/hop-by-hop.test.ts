/** Which header fields pass the router: the message's do, those of one connection and of the router do not. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  firstHeader,
  type RequestHeaderOptions,
  requestHeaders,
  responseHeaders,
  withRank,
  withTimeLeft,
} from '../../../app/relay/headers.ts'
import type { HeaderFields } from '../../../app/upstream/http-client.ts'

const toWorker = (headers: HeaderFields, options: Partial<RequestHeaderOptions> = {}) =>
  requestHeaders(headers, {
    requestId: 'id-1',
    workerKey: undefined,
    dropClientKey: false,
    bodyDecoded: false,
    ...options,
  })

/** What the router adds to every request. */
const added: HeaderFields = [
  ['x-request-id', 'id-1'],
  ['accept-encoding', 'identity'],
]

const hopByHop = [
  'Connection',
  'Keep-Alive',
  'Proxy-Authenticate',
  'Proxy-Authorization',
  'Proxy-Connection',
  'TE',
  'Trailer',
  'Transfer-Encoding',
  'Upgrade',
]

describe('a request', () => {
  test('keeps its fields in order, with their spelling and repetitions', () => {
    const headers: HeaderFields = [
      ['Content-Type', 'application/json'],
      ['X-Session-ID', 's1'],
      ['traceparent', '00-1-2-01'],
      ['accept', 'text/event-stream'],
      ['X-Custom', 'a'],
      ['x-custom', 'b'],
      ['Cookie', 'a=1; b=2'],
      ['User-Agent', ''],
    ]
    assert.deepEqual(toWorker(headers), [...headers, ...added])
  })

  test('loses the fields of the connection, in any spelling', () => {
    for (const name of hopByHop) {
      for (const spelling of [name, name.toLowerCase(), name.toUpperCase()]) {
        assert.deepEqual(toWorker([[spelling, 'x']]), added, spelling)
      }
    }
  })

  test('loses every field that its Connection fields name', () => {
    const headers: HeaderFields = [
      ['X-Keep', '1'],
      ['Connection', 'close, X-Hop ,,x-other'],
      ['x-hop', '1'],
      ['X-OTHER', '2'],
      ['x-third', '3'],
      ['connection', 'X-Third'],
    ]
    assert.deepEqual(toWorker(headers), [['X-Keep', '1'], ...added])
  })

  test('loses only those: no field is one because another has its name for a value, or because of a mere close', () => {
    const headers: HeaderFields = [
      ['x-note', 'x-stays'],
      ['x-stays', '1'],
      ['Close', '2'],
    ]
    for (const value of ['close, x-hop', 'x-hop'])
      assert.deepEqual(toWorker([...headers, ['Connection', value], ['x-hop', 'close']]), [
        ...headers,
        ...added,
      ])
    assert.deepEqual(
      responseHeaders([
        ['connection', 'x-hop'],
        ['x-hop', 'close'],
      ]),
      [],
    )
  })

  test('says how its body is encoded, unless it is sent on decoded', () => {
    const headers: HeaderFields = [
      ['content-encoding', 'gzip'],
      ['content-type', 'application/json'],
    ]
    assert.deepEqual(toWorker(headers), [...headers, ...added])
    assert.deepEqual(toWorker(headers, { bodyDecoded: true }), [headers[1], ...added])
  })

  test('names one rank, whatever the client has named', () => {
    const headers: HeaderFields = [
      ['X-Data-Parallel-Rank', '7'],
      ['x-stays', '1'],
    ]
    assert.deepEqual(withRank(headers, 2), [
      ['x-stays', '1'],
      ['x-data-parallel-rank', '2'],
    ])
  })

  test('is written anew where the router knows better', () => {
    const headers: HeaderFields = [
      ['Host', 'router:8080'],
      ['Content-Length', '999'],
      ['Expect', '100-continue'],
      ['Accept-Encoding', 'gzip, br'],
      ['X-Request-ID', 'the client’s'],
      ['X-Request-Timeout-Ms', '5000'],
    ]
    assert.deepEqual(toWorker(headers), added)
  })

  test('carries what is left of its time', () => {
    assert.equal(firstHeader(withTimeLeft(toWorker([]), 1234.9), 'x-request-timeout-ms'), '1234')
    assert.equal(firstHeader(withTimeLeft(toWorker([]), -3), 'x-request-timeout-ms'), '1')
    assert.equal(firstHeader(toWorker([]), 'x-request-timeout-ms'), undefined)
  })

  test('any other field passes, whatever it is called', () => {
    const name = fc.stringMatching(/^x-[a-z0-9-]{1,20}$/).filter((one) => !one.startsWith('x-request-'))
    fc.assert(
      fc.property(fc.array(fc.tuple(name, fc.string())), (headers) => {
        assert.deepEqual(toWorker(headers), [...headers, ...added])
      }),
    )
  })
})

describe('the key', () => {
  const client: HeaderFields = [['Authorization', 'Bearer client']]

  test('of the client goes to the worker and wins over the router’s', () => {
    for (const workerKey of [undefined, 'ours']) {
      const sent = toWorker(client, { workerKey })
      assert.deepEqual(
        sent.filter(([name]) => name.toLowerCase() === 'authorization'),
        client,
      )
    }
  })

  test('of the router goes to the worker where the client has none', () => {
    assert.equal(firstHeader(toWorker([], { workerKey: 'ours' }), 'authorization'), 'Bearer ours')
    assert.equal(firstHeader(toWorker([]), 'authorization'), undefined)
  })

  test('for the router itself is not shown to workers', () => {
    const both: HeaderFields = [...client, ['X-Api-Key', 'client']]
    assert.deepEqual(toWorker(both, { dropClientKey: true }), added)
    const sent = toWorker(both, { dropClientKey: true, workerKey: 'ours' })
    assert.deepEqual(sent, [...added, ['authorization', 'Bearer ours']])
  })

  test('in the header of Anthropic’s clients passes to the worker', () => {
    assert.equal(firstHeader(toWorker([['x-api-key', 'client']]), 'x-api-key'), 'client')
  })
})

describe('an answer', () => {
  const own = ['Content-Length', 'X-Request-Id', 'X-Router-Worker', 'X-Router-Attempts']

  test('keeps its fields in order, cookies one by one, names in lower case', () => {
    const headers: HeaderFields = [
      ['Content-Type', 'text/event-stream; charset=utf-8'],
      ['X-Worker-Id', 'w1'],
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
      ['Date', 'Thu, 01 Jan 2026 00:00:00 GMT'],
      ['server', 'uvicorn'],
      ['Content-Encoding', 'gzip'],
    ]
    assert.deepEqual(
      responseHeaders(headers),
      headers.map(([name, value]) => [name.toLowerCase(), value]),
    )
  })

  test('loses the fields of the connection, its length and what the router sets itself', () => {
    for (const name of [...hopByHop, ...own]) {
      assert.deepEqual(responseHeaders([[name, 'x']]), [], name)
      assert.deepEqual(responseHeaders([[name.toLowerCase(), 'x']]), [], name)
    }
  })

  test('loses the fields that its Connection field names', () => {
    const headers: HeaderFields = [
      ['connection', 'x-hop'],
      ['X-Hop', '1'],
      ['x-stays', '2'],
    ]
    assert.deepEqual(responseHeaders(headers), [['x-stays', '2']])
  })

  test('is not changed by reading it', () => {
    const headers = Object.freeze([Object.freeze(['connection', 'x-hop'] as const)])
    responseHeaders(headers)
    toWorker(headers)
  })
})

test('a field is found by its name in any spelling, the first of several', () => {
  const headers: HeaderFields = [
    ['Content-Typ', 'no'],
    ['Content-Tape', 'no'],
    ['CONTENT-TYPE', 'first'],
    ['content-type', 'second'],
  ]
  assert.equal(firstHeader(headers, 'content-type'), 'first')
  assert.equal(firstHeader(headers, 'accept'), undefined)
})

test('what a worker allows to browsers passes, unless the router has a list of its own', () => {
  const headers = [
    ['Access-Control-Allow-Origin', '*'],
    ['x-stays', '1'],
  ] as const
  assert.deepEqual(responseHeaders(headers), [
    ['access-control-allow-origin', '*'],
    ['x-stays', '1'],
  ])
  assert.deepEqual(responseHeaders(headers, true), [['x-stays', '1']])
})
