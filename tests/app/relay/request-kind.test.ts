/** What the pool knows of a request. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RequestKind, type RequestKindOptions } from '../../../app/relay/request-kind.ts'
import { RequestBody } from '../../../http/request-body.ts'

const body = (text: string) => new RequestBody([Buffer.from(text)])

function kindOf(more: Partial<RequestKindOptions> = {}): RequestKind {
  return new RequestKind({ model: 'm', stream: true, path: '/v1/x', headers: [], body: undefined, ...more })
}

describe('a request, for the pool', () => {
  test('has its model, its session, its length, and streams or not', () => {
    const prompt = { blocks: [1], bytes: 3, bytesOf: () => 3 }
    const {
      model,
      stream,
      bytes,
      session,
      prompt: kept,
    } = kindOf({ body: body('abc'), session: 's', prompt })
    assert.deepEqual([model, stream, bytes, session, kept], ['m', true, 3, 's', prompt])
    assert.deepEqual([kindOf({ stream: false }).stream, kindOf().bytes], [false, 0])
  })

  test('has media where its body holds some, in whichever piece', () => {
    const image = '{"url":"data:image/png;base64,AAAA"}'
    assert.equal(kindOf({ body: body('{"prompt":"an input_audio"}') }).hasMedia, false)
    assert.equal(kindOf({ body: body(image) }).hasMedia, true)
    assert.equal(kindOf({ body: body('{"type":"input_audio"}') }).hasMedia, true)
    const pieces = new RequestBody([Buffer.from('{"a":1,'), Buffer.from(image)])
    assert.equal(kindOf({ body: pieces }).hasMedia, true)
    assert.equal(kindOf().hasMedia, false)
  })

  test('keeps neither body nor prompt when a worker has taken it', () => {
    const kind = kindOf({ body: body(';base64,'), prompt: { blocks: [1], bytes: 3, bytesOf: () => 3 } })
    kind.forgetPrompt()
    assert.deepEqual([kind.hasMedia, kind.prompt, kind.bytes], [false, undefined, 8])
  })

  test('is the same for any model but for that', () => {
    const prompt = { blocks: [1], bytes: 3, bytesOf: () => 3 }
    const any = kindOf({ body: body(';base64,'), session: 's', prompt }).forAnyModel()
    assert.deepEqual(
      [any.model, any.stream, any.bytes, any.session, any.prompt, any.hasMedia],
      [undefined, true, 8, 's', prompt, true],
    )
  })
})

describe('requests that are likely to fail alike', () => {
  const sized = (bytes: number, more: Partial<RequestKindOptions> = {}) =>
    kindOf({ body: body('x'.repeat(bytes)), ...more }).kind()

  test('are as long, to a factor of two', () => {
    assert.equal(sized(1000), sized(1100))
    assert.notEqual(sized(1000), sized(2500))
    assert.equal(kindOf().kind(), sized(0))
  })

  test('have the same route, whatever its query, and the same key', () => {
    assert.equal(sized(10, { path: '/v1/x?a=1' }), sized(10))
    assert.notEqual(sized(10, { path: '/v1/y' }), sized(10))
    const key = (value: string) => sized(10, { headers: [['Authorization', value]] })
    assert.equal(key('Bearer a'), key('Bearer a'))
    assert.notEqual(key('Bearer a'), key('Bearer b'))
    assert.notEqual(key('Bearer a'), sized(10))
  })
})
