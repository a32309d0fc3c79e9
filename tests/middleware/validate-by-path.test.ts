/** Which bodies are checked against a schema, and which are only looked into. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readBody } from '../../middleware/read-body.ts'
import { bodySchemas } from '../../middleware/schemas/index.ts'
import { validateByPath } from '../../middleware/validate.ts'
import { errorOf, middlewareApp } from '../support/middleware-app.ts'

function looking(outline?: boolean) {
  const options = outline === undefined ? {} : { outline }
  const { fetch } = middlewareApp([readBody(), validateByPath(bodySchemas, options)], async (c) =>
    c.json(c.get('payload') ?? 'nothing'),
  )
  return (path: string, body: string, method = 'POST') =>
    fetch(path, { method, headers: { 'content-type': 'application/json' }, body })
}

const send = looking()

describe('a body on a route that has a schema', () => {
  test('is checked, and its payload kept', async () => {
    const body = { model: 'm', messages: [{ role: 'user', content: 'hello' }] }
    const right = await send('/v1/chat/completions', JSON.stringify(body))
    assert.deepEqual(await right.json(), body)
    const wrong = await send('/v1/chat/completions', JSON.stringify({ ...body, model: 7 }))
    assert.equal((await errorOf(wrong, 400, 'invalid_request')).param, 'model')
    await errorOf(await send('/v1/chat/completions', '{'), 400, 'invalid_json')
  })

  test('is only looked into with another method than POST', async () => {
    const answer = await send('/v1/chat/completions', '{"model":7}', 'PUT')
    assert.deepEqual(await answer.json(), { model: 7 })
  })
})

describe('a body on any other route', () => {
  test('is looked into where it is a JSON object, and passes whatever it is', async () => {
    for (const [body, payload] of [
      ['{"model":"m"}', { model: 'm' }],
      [' {"model":7}', { model: 7 }],
      ['[1]', 'nothing'],
      ['{', 'nothing'],
      ['plain text', 'nothing'],
    ] as const)
      assert.deepEqual(await (await send('/v1/audio/speech', body)).json(), payload, body)
  })
})

test('long strings of a large payload may be left out where nobody reads them', async () => {
  const text = 'x'.repeat(200_000)
  const bodyOn = (key: string) => JSON.stringify({ model: 'm', [key]: text })
  for (const [path, key] of [
    ['/v1/completions', 'prompt'],
    ['/v1/other', 'text'],
  ] as const) {
    const whole = (await (await send(path, bodyOn(key))).json()) as Record<string, string>
    const outlined = (await (await looking(true)(path, bodyOn(key))).json()) as Record<string, string>
    assert.deepEqual([whole.model, whole[key]?.length], ['m', text.length])
    assert.deepEqual([outlined.model, outlined[key]?.length], ['m', 1], path)
  }
})
