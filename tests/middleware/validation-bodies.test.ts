import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readBody } from '../../middleware/read-body.ts'
import { bodySchemas } from '../../middleware/schemas/index.ts'
import { validate } from '../../middleware/validate.ts'
import { errorOf, middlewareApp } from '../support/middleware-app.ts'
import { post } from '../support/post-body.ts'

const chat = { model: 'm', messages: [{ role: 'user', content: 'hello' }] }
const long = { role: 'user', content: 'x'.repeat(1000) }

describe('media types', () => {
  test('JSON in any spelling, or no type at all, passes', async () => {
    const types = [
      null,
      '',
      'application/json',
      'Application/JSON; charset=UTF-8',
      'application/vnd.api+json',
      'application/json;charset=latin1',
    ]
    for (const type of types)
      assert.equal((await post('/v1/chat/completions', chat, type)).status, 200, `${type}`)
  })

  test('others get 415 that says what to send', async () => {
    for (const type of [
      'text/xml',
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/jsonp',
    ]) {
      const error = await errorOf(
        await post('/v1/chat/completions', chat, type),
        415,
        'unsupported_media_type',
      )
      assert.match(error.message, /Content-Type: application\/json/)
    }
  })
})

describe('large and odd bodies', () => {
  test('the payload is the parsed body', async () => {
    const { fetch } = middlewareApp(
      [readBody(), validate({ schema: bodySchemas['/v1/chat/completions'] })],
      async (c) => c.json(c.get('payload') ?? null),
    )
    const body = { ...chat, extra: { deep: [1, null] } }
    const headers = { 'content-type': 'application/json' }
    const response = await fetch('/', { method: 'POST', headers, body: JSON.stringify(body) })
    assert.deepEqual(await response.json(), body)
  })

  test('the last of 10,000 messages is looked at', async () => {
    const messages: unknown[] = Array.from({ length: 10_000 }, () => long)
    assert.equal((await post('/v1/chat/completions', { model: 'm', messages })).status, 200)
    messages[9_999] = { role: null }
    const error = await errorOf(
      await post('/v1/chat/completions', { model: 'm', messages }),
      400,
      'invalid_request',
    )
    assert.equal(error.param, 'messages[9999].role')
  })

  test('nesting that no parser of a worker takes is refused, not crashed on', async () => {
    const depth = 1_000_000
    const open = '['.repeat(depth)
    for (const body of [
      open,
      `${open}${']'.repeat(depth)}`,
      `{"a":${'{"a":'.repeat(depth / 4)}`,
      `[${'[],'.repeat(depth)}0]`,
    ]) {
      const error = await errorOf(await post('/v1/chat/completions', body), 400, 'invalid_request')
      assert.match(error.message, /1000 levels deep/)
    }
  })

  test('many brackets are fine as long as they do not nest, and those in strings do not count', async () => {
    const flat = { ...chat, rows: Array.from({ length: 70_000 }, () => []) }
    const quoted = { ...chat, note: '[{\\"'.repeat(70_000), rows: flat.rows }
    assert.equal((await post('/v1/chat/completions', flat)).status, 200)
    assert.equal((await post('/v1/chat/completions', quoted)).status, 200)
  })

  test('small bodies may nest as they like', async () => {
    const body = `{"model":"m","messages":[{"role":"u"}],"x":${'['.repeat(5000)}${']'.repeat(5000)}}`
    assert.equal((await post('/v1/chat/completions', body)).status, 200)
  })
})
