import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { apiKey } from '../../middleware/api-key.ts'
import { errorOf, middlewareApp } from '../support/middleware-app.ts'

const keys = ['sk-first-secret', 'sk-second-secret']

describe('API key', () => {
  const { fetch } = middlewareApp([apiKey({ keys })])

  test('each of the keys is let in, by Authorization, by x-api-key or by api-key', async () => {
    for (const key of keys) {
      assert.equal((await fetch('/', { headers: { authorization: `Bearer ${key}` } })).status, 200)
      assert.equal((await fetch('/', { headers: { authorization: `bearer  ${key}` } })).status, 200)
      assert.equal((await fetch('/', { headers: { 'x-api-key': key } })).status, 200)
      assert.equal((await fetch('/', { headers: { 'api-key': key } })).status, 200)
    }
  })

  test('a good x-api-key beside an Authorization meant for someone else is enough', async () => {
    const headers = { authorization: 'Basic dXNlcjpwYXNz', 'x-api-key': 'sk-first-secret' }
    assert.equal((await fetch('/', { headers })).status, 200)
  })

  test('no key at all gets 401 that says how to send one', async () => {
    const error = await errorOf(await fetch('/'), 401, 'invalid_api_key')
    assert.match(error.message, /needs an API key.*Authorization: Bearer <key>.*x-api-key/)
    assert.equal(error.type, 'authentication_error')
  })

  test('a wrong key gets 401, and no key, right or wrong, is in the text', async () => {
    const wrong = [
      { authorization: 'Bearer sk-first-secre' },
      { authorization: 'Bearer sk-first-secrets' },
      { authorization: 'sk-first-secret' },
      { authorization: 'Bearer' },
      { 'x-api-key': 'Bearer sk-first-secret' },
      { 'api-key': 'sk-first' },
    ]
    for (const headers of wrong) {
      const error = await errorOf(await fetch('/', { headers }), 401, 'invalid_api_key')
      assert.doesNotMatch(error.message, /sk-|secret/)
    }
  })

  test('who presents a key in any way hears that it is wrong, not that one is needed', async () => {
    for (const headers of [{ authorization: 'Bearer x' }, { 'x-api-key': 'x' }, { 'api-key': 'x' }]) {
      const error = await errorOf(await fetch('/', { headers }), 401, 'invalid_api_key')
      assert.match(error.message, /^The API key presented is not valid here\. Send it as/)
    }
    const headers = { authorization: 'Basic dXNlcjpwYXNz' }
    const error = await errorOf(await fetch('/', { headers }), 401, 'invalid_api_key')
    assert.match(error.message, /^This route needs an API key\./)
  })

  test('no other string is ever let in', async () => {
    const visible = fc.string({ unit: fc.constantFrom(...'abcdefs-k1 ') })
    await fc.assert(
      fc.asyncProperty(visible, async (candidate) => {
        fc.pre(!keys.includes(candidate.trim()))
        const response = await fetch('/', { headers: { authorization: `Bearer ${candidate}` } })
        assert.equal(response.status, 401)
      }),
      { numRuns: 50 },
    )
  })

  test('Anthropic clients get the error in their own shape', async () => {
    const response = await fetch('/v1/messages', { method: 'POST', body: '{}' })
    const body = (await response.json()) as { type: string; error: { type: string } }
    assert.equal(body.type, 'error')
    assert.equal(body.error.type, 'authentication_error')
  })

  test('the admin key is the same mechanism under another name', async () => {
    const admin = middlewareApp([apiKey({ keys: ['root'], what: 'admin key' })])
    const error = await errorOf(await admin.fetch('/workers'), 401, 'invalid_api_key')
    assert.match(error.message, /admin key/)
    assert.equal((await admin.fetch('/workers', { headers: { authorization: 'Bearer root' } })).status, 200)
  })

  test('an empty list of keys, or an empty key, is a mistake of the program', () => {
    assert.throws(() => apiKey({ keys: [] }), TypeError)
    assert.throws(() => apiKey({ keys: ['a', ''] }), TypeError)
  })
})
