/** What of the held beginning of a stream may go ahead: comments, and nothing else. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { holdEvents } from '../../../app/relay/hold.ts'
import { within } from '../../support/deadline.ts'
import { HandMadeBody } from '../../support/hand-made-body.ts'

const role = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
const token = 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'

async function held(takes: boolean, ...pieces: string[]) {
  const passed: string[] = []
  const source = new HandMadeBody()
  source.put(...pieces)
  const held = holdEvents(source, {
    ...{ dialect: 'openai', maxBytes: 1e6, maxEventBytes: 1e6 },
    passComment: (comment) => {
      passed.push(Buffer.from(comment).toString())
      return takes
    },
  })
  const { bytes, end } = await within(2000, held, 'an end of the hold')
  return { bytes: Buffer.from(bytes).toString(), end, passed }
}

test('comments before the first content go ahead, and the events among them stay', async () => {
  const found = await held(true, `: one\n\n${role}: two\n\n`, token)
  assert.deepEqual(found, { bytes: role + token, end: 'open', passed: [': one\n\n', ': two\n\n'] })
})

test('comments that may not go ahead keep their place', async () => {
  const { bytes } = await held(false, `: one\n\n${role}`, token)
  assert.equal(bytes, `: one\n\n${role}${token}`)
})

test('comments that come with content go out with it', async () => {
  const { bytes, passed } = await held(true, `: one\n\n${token}`)
  assert.deepEqual([bytes, passed], [`: one\n\n${token}`, []])
})
