import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cors } from 'hono/cors'
import { apiKey } from '../../middleware/api-key.ts'
import { requestId } from '../../middleware/request-id.ts'
import { middlewareApp } from '../support/middleware-app.ts'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/

async function idFor(headers: Record<string, string>, options = {}): Promise<string | null> {
  const { fetch } = middlewareApp([requestId(options)], async (c) => c.text(c.get('requestId')))
  const response = await fetch('/', { headers })
  const id = response.headers.get('x-request-id')
  assert.equal(await response.text(), id, 'the variable and the response header agree')
  return id
}

describe('request id', () => {
  test('a client without one gets a new UUID', async () => {
    assert.match((await idFor({})) ?? '', uuid)
  })

  test('the first header of the list that is present counts', async () => {
    assert.equal(await idFor({ 'request-id': 'd', 'x-trace-id': 'c', 'X-Correlation-Id': 'b' }), 'b')
    assert.equal(await idFor({ 'x-request-id': 'a', 'x-correlation-id': 'b' }), 'a')
  })

  test('the list of headers can be replaced', async () => {
    assert.equal(await idFor({ 'X-Mine': 'm', 'x-request-id': 'a' }, { headers: ['X-Mine'] }), 'm')
    assert.equal(
      await idFor({ 'x-request-id': 'a' }, { headers: ['x-mine'], generate: () => 'made' }),
      'made',
    )
  })

  test('an id that is not 1 to 128 visible ASCII characters is passed over', async () => {
    for (const bad of ['', 'two words', 'é', 'x'.repeat(129)]) {
      assert.equal(await idFor({ 'x-request-id': bad, 'x-trace-id': 'fallback' }), 'fallback')
      assert.match((await idFor({ 'x-request-id': bad })) ?? '', uuid)
    }
    assert.equal(await idFor({ 'x-request-id': 'x'.repeat(128) }), 'x'.repeat(128))
    assert.equal(await idFor({ 'x-request-id': '!~"{}' }), '!~"{}')
  })

  test('error answers carry the id too', async () => {
    const { fetch } = middlewareApp([requestId(), apiKey({ keys: ['k'] })])
    const response = await fetch('/', { headers: { 'x-request-id': 'mine' } })
    assert.equal(response.status, 401)
    assert.equal(response.headers.get('x-request-id'), 'mine')
  })

  test('a response with immutable headers gets the id and keeps status and headers', async () => {
    const { fetch } = middlewareApp([requestId()], async () => Response.redirect('http://other.test/', 307))
    const response = await fetch('/', { headers: { 'x-request-id': 'mine' } })
    assert.equal(response.status, 307)
    assert.equal(response.headers.get('location'), 'http://other.test/')
    assert.equal(response.headers.get('x-request-id'), 'mine')
  })

  test("with Hono's cors in front, a preflight needs no key and errors are readable across origins", async () => {
    const origin = 'https://chat.example'
    const allow = cors({ origin: [origin], exposeHeaders: ['x-request-id'] })
    const { fetch } = middlewareApp([requestId(), allow, apiKey({ keys: ['k'] })])
    const preflight = await fetch('/v1/chat/completions', {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST' },
    })
    assert.equal(preflight.status, 204)
    assert.equal(preflight.headers.get('access-control-allow-origin'), origin)
    const refused = await fetch('/v1/chat/completions', { method: 'POST', headers: { origin }, body: '{}' })
    assert.equal(refused.status, 401)
    assert.equal(refused.headers.get('access-control-allow-origin'), origin)
    assert.equal(refused.headers.get('content-type'), 'application/json')
    assert.ok(refused.headers.get('x-request-id'))
  })
})
