/** Which routes a tenant may call is judged by the path that a worker gets, however the client has written it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { pathAndQuery, sentPath } from '../../../app/api/sent-path.ts'
import { mayCall } from '../../../app/api/tenant-access.ts'

const at = (path: string) => `http://router${path}`

describe('the path that a worker gets', () => {
  test('has its escapes resolved, and neither query nor slash at the end', () => {
    assert.equal(sentPath(at('/v1/embeddings/?a=%2F..')), '/v1/embeddings')
    assert.equal(sentPath(at('/v1/%65mbeddings')), '/v1/embeddings')
    assert.equal(sentPath(at('/v1%2Fembeddings')), '/v1/embeddings')
    assert.equal(sentPath(at('/')), '/')
  })

  test('is not told where it may lead elsewhere', () => {
    for (const path of [
      ...['/a/../b', '/a/%2e%2e/b', '/a/.%2E/b', '/a/./b', '/a/..', '/..;/b', '/a/..;x=1/b'],
      ...['/a\\..\\b', '/a%5C..%5Cb', '/a/%252e%252e/b', '/%00', '/%zz', '/%'],
    ])
      assert.equal(sentPath(at(path)), undefined, path)
    for (const path of ['/a..b', '/...', '/.well-known/x']) assert.equal(sentPath(at(path)), path)
  })
})

describe('a route of a tenant', () => {
  test('is the path itself, or all that begins as it says', () => {
    const routes = ['/v1/embeddings', '/v1/audio/*', '/tok*']
    for (const path of ['/v1/embeddings', '/v1/embeddings/', '/v1/embeddings?x=1', '/v1/%65mbeddings'])
      assert.ok(mayCall(routes, at(path)), path)
    for (const path of ['/v1/audio/speech', '/v1/audio/a/b', '/tokenize', '/tok'])
      assert.ok(mayCall(routes, at(path)), path)
    for (const path of [
      ...[
        '/v1/embeddingsx',
        '/v1/embeddings/x',
        '/V1/embeddings',
        '//v1/embeddings',
        '/v1//embeddings',
        '/v1/audio',
      ],
      ...[
        '/',
        '/v1',
        '/detokenize',
        '/v1/audio/../chat/completions',
        '/v1/audio/%2e%2e/chat',
        '/v1/embeddings;/x',
      ],
    ])
      assert.ok(!mayCall(routes, at(path)), path)
    assert.ok(mayCall(['*'], at('/x')) && mayCall(['/*'], at('/x')))
  })

  test('is never left by another spelling: what is let in is what a worker decodes to it', () => {
    const piece = fc.constantFrom(
      ...[
        'v1',
        'V1',
        'embeddings',
        'sleep',
        '..',
        '.',
        '%2e%2e',
        '%2E',
        '%2F',
        '%5c',
        '\\',
        ';',
        'x',
        '%65mbeddings',
        '%25',
        '',
      ],
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), fc.boolean(), (pieces, query) => {
        const path = `/${pieces.join('/')}${query ? '?a=/v1/embeddings' : ''}`
        if (!mayCall(['/v1/embeddings'], at(path))) return
        const sent = pathAndQuery(at(path)).split('?')[0]!
        assert.equal(decodeURIComponent(sent), '/v1/embeddings')
      }),
      { numRuns: 2000 },
    )
  })
})
