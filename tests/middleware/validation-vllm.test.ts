/** What the newest vLLM takes is never refused: the table comes from its own request models. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { laxBoolean } from '../../middleware/schemas/lax-boolean.ts'
import { type Path, post } from '../support/post-body.ts'
import { acceptedByVllm, embeddedConversations } from '../support/vllm-bodies.ts'

describe('a body that vLLM takes passes', () => {
  for (const [path, { base, fields }] of Object.entries(acceptedByVllm)) {
    for (const [field, values] of Object.entries(fields)) {
      test(`on ${path}, whatever ${field} it has`, async () => {
        for (const value of values) {
          const body = JSON.stringify({ ...base, [field]: value })
          const response = await post(path as Path, body)
          assert.equal(response.status, 200, `${body}: ${await response.clone().text()}`)
        }
      })
    }
  }

  test('on /v1/embeddings, with conversations for input', async () => {
    for (const messages of embeddedConversations) {
      const response = await post('/v1/embeddings', { messages })
      assert.equal(response.status, 200, await response.clone().text())
    }
  })
})

describe('a boolean', () => {
  test('is read from every spelling that pydantic takes', () => {
    for (const yes of [true, 1, 'true', 'True', 'TRUE', 't', 'yes', 'Y', 'on', '1'])
      assert.equal(laxBoolean(yes), true, String(yes))
    for (const no of [false, 0, 'false', 'F', 'no', 'n', 'OFF', '0'])
      assert.equal(laxBoolean(no), false, String(no))
  })

  test('is not read from anything else', () => {
    for (const other of [null, undefined, '', ' true', 'maybe', 2, -1, 0.5, Number.NaN, [], {}, 'truee'])
      assert.equal(laxBoolean(other), undefined, String(other))
  })
})
