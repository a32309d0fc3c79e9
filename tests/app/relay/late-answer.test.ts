/** Answers whose status has been sent already, as events, in the words of the worker and in the shape of each API. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { errorAnswerEvent, wholeAnswerEvent } from '../../../app/relay/late-answer.ts'
import type { Dialect } from '../../../http/errors.ts'

const error = (body: string, dialect: Dialect) =>
  Buffer.from(errorAnswerEvent(Buffer.from(body), 500, dialect)).toString()
const whole = (body: string, dialect: Dialect) =>
  Buffer.from(wholeAnswerEvent(Buffer.from(body), dialect)).toString()

describe('a late error', () => {
  const body = '{"error":{"message":"boom","code":500}}'

  test('keeps the worker’s words and shape where its API has such events', () => {
    assert.equal(error(body, 'openai'), `data: ${body}\n\n`)
    assert.equal(error(body, 'anthropic'), `event: error\ndata: ${body}\n\n`)
  })

  test('keeps the words where the shape of the event is another one', () => {
    const event = error(body, 'responses')
    assert.match(event, /^event: response\.failed\ndata: /)
    assert.match(event, /"code":"bad_worker_response"/)
    assert.match(event, /"message":"boom"/)
  })

  test('without an object of that name is told by the router, in the worker’s words where it has some', () => {
    for (const [text, words] of [
      ['{"message":"no such route"}', 'no such route'],
      ['{"error":"boom"}', 'the worker reported an error within the stream'],
      ['not JSON', 'the worker answered with status 500'],
    ] as const) {
      for (const dialect of ['openai', 'anthropic', 'responses'] as const) {
        const event = error(text, dialect)
        assert.ok(event.includes(`"message":"${words}"`), event)
        assert.match(event, /"bad_worker_response"/)
      }
    }
  })
})

describe('a late answer that is no stream', () => {
  test('is one event, and the end marker of its API behind it', () => {
    assert.equal(whole('{"a":1}', 'openai'), 'data: {"a":1}\n\ndata: [DONE]\n\n')
    for (const dialect of ['anthropic', 'responses'] as const)
      assert.equal(whole('{"a":1}', dialect), 'data: {"a":1}\n\n')
  })

  test('has its lines as lines of the event’s data', () => {
    assert.equal(whole('{\r\n"a":\r1\n}', 'responses'), 'data: {\ndata: "a":\ndata: 1\ndata: }\n\n')
  })
})
