/** The token counts of an answer are found in its bytes, wherever they stand, and nothing else is taken for them. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { findUsage, usageOf } from '../../../app/relay/usage.ts'
import { RequestRecord } from '../../../app/request/request-record.ts'

const find = (text: string) => findUsage(Buffer.from(text))

describe('usage is found in', () => {
  const cases: readonly (readonly [
    what: string,
    text: string,
    prompt: number,
    completion: number,
    cached?: number,
  ])[] = [
    [
      'a chat completion',
      '{"id":"1","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":12,"total_tokens":20,' +
        '"completion_tokens":8,"prompt_tokens_details":null},"prompt_logprobs":null}',
      12,
      8,
    ],
    [
      'a completion with cached tokens',
      '{"choices":[],"usage":{"prompt_tokens":64,"total_tokens":65,"completion_tokens":1,' +
        '"prompt_tokens_details":{"cached_tokens":48}}}',
      64,
      1,
      48,
    ],
    ['an embedding', '{"data":[],"usage":{"prompt_tokens":5,"total_tokens":5,"completion_tokens":0}}', 5, 0],
    ['scores, of which some servers tell the sum only', '{"usage":{"total_tokens":6},"results":[]}', 6, 0],
    ['an answer that only counts the prompt', '{"usage":{"prompt_tokens":5,"total_tokens":5}}', 5, 0],
    [
      'a response',
      '{"output":[],"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":0},"output_tokens":3,' +
        '"output_tokens_details":{"reasoning_tokens":1},"total_tokens":10}}',
      7,
      3,
      0,
    ],
    ['a message', '{"content":[],"usage":{"input_tokens":7,"output_tokens":3}}', 7, 3],
    [
      'a message with cached tokens',
      '{"usage":{"input_tokens":7,"output_tokens":3,"cache_read_input_tokens":4}}',
      7,
      3,
      4,
    ],
    [
      'an answer with brackets and escaped quotes in a text behind it',
      '{"usage":{"prompt_tokens":1,"completion_tokens":2},"text":"a\\"]}]}]}","more":"\\\\"}',
      1,
      2,
    ],
    ['JSON with white space', '{ "usage" :\n  { "prompt_tokens" : 1,\n "completion_tokens" : 2 } }', 1, 2],
    [
      'the last event of a stream',
      'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
      1,
      2,
    ],
    [
      'an event before the end marker',
      'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\ndata: [DONE]\n\n',
      1,
      2,
    ],
  ]
  for (const [what, text, prompt, completion, cached] of cases) {
    test(what, () => assert.deepEqual(find(text), { prompt, completion, cached }))
  }

  test('the last place, where every event has the counts so far', () => {
    const event = (n: number) =>
      `data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":${n}}}\n\n`
    assert.equal(find(event(1) + event(2) + event(3))?.completion, 3)
  })

  test('the last place that has one, where others are null or cut off', () => {
    const good = '{"usage":{"prompt_tokens":9,"completion_tokens":4}}'
    assert.equal(find(`${good}{"choices":[1],"usage":null}`)?.completion, 4)
    assert.equal(find(`${good}{"usage":{"prompt_tokens":9,`)?.completion, 4)
    assert.equal(find(`${good}{"usage":{]}`)?.completion, 4)
  })

  test('a view into a larger buffer, and only there', () => {
    const bytes = Buffer.from(
      '{"usage":{"prompt_tokens":1}}{"usage":{"prompt_tokens":2}}{"usage":{"prompt_tokens":3}}',
    )
    assert.equal(findUsage(new Uint8Array(bytes.buffer, bytes.byteOffset + 29, 29))?.prompt, 2)
  })
})

describe('usage is not found in', () => {
  for (const text of [
    '',
    '{}',
    'data: [DONE]\n\n',
    '{"usage":null}',
    '{"usage":7}',
    '{"usage":"none"}',
    '{"usage"',
    '"usage":null',
    '{"content":"usage"}',
    '{"content":"\\"usage\\":{\\"prompt_tokens\\":1}"}',
    '{"usage":{"prompt_tokens":1',
    '{"usage":{"billed_units":{"input_tokens":1}}}',
    '{"usage":{}}',
    '{"usage":{"prompt_tokens":null,"completion_tokens":null}}',
  ]) {
    test(JSON.stringify(text), () => assert.equal(find(text), undefined))
  }
})

test('counts that are no counts are zero', () => {
  for (const bad of ['-1', '"5"', '{}', 'true']) {
    const usage = find(`{"usage":{"prompt_tokens":${bad},"completion_tokens":${bad}}}`)
    assert.deepEqual(usage, { prompt: 0, completion: 0, cached: undefined }, bad)
  }
})

test('any counts are found behind any text', () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom('"usage":{"prompt_tokens":77}', '{', '}', '\\', '"', '"usage"'),
  )
  fc.assert(
    fc.property(
      fc.array(text),
      fc.nat(),
      fc.nat(),
      fc.option(fc.nat()),
      (texts, prompt, completion, cached) => {
        const details = cached === null ? null : { cached_tokens: cached }
        const body = JSON.stringify({
          choices: texts.map((content) => ({ message: { content } })),
          usage: { prompt_tokens: prompt, completion_tokens: completion, prompt_tokens_details: details },
          note: texts[0] ?? '',
        })
        assert.deepEqual(find(body), { prompt, completion, cached: cached ?? undefined })
      },
    ),
    { numRuns: 500 },
  )
})

test('any bytes at all are read without a fault', () => {
  const piece = fc.constantFrom('"usage"', ':', '{', '}', '"prompt_tokens":', '1', ',', ' ', '\u0000', 'x')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const usage = find(pieces.join(''))
      assert.ok(usage === undefined || usage.prompt >= 0)
    }),
    { numRuns: 500 },
  )
})

describe("what a client has named usage, and an answer repeats, is not the answer's", () => {
  const own = { usage: { prompt_tokens: 0, completion_tokens: 0, input_tokens: 0, output_tokens: 0 } }
  const tools = [{ type: 'function', name: 'f', parameters: { properties: own, ...own } }]
  const echo = { tools, reasoning: own, text: { format: { schema: own } } }
  const answer = { input_tokens: 7, output_tokens: 3 }
  const event = (value: object) => `event: x\ndata: ${JSON.stringify(value)}\n\n`
  const used = { prompt: 7, completion: 3, cached: undefined }
  const inBody = (value: object, space?: number) =>
    findUsage(Buffer.from(JSON.stringify(value, null, space)), 1)

  test('in a body', () => {
    for (const space of [undefined, 2]) {
      assert.equal(inBody({ id: 'r', ...echo, usage: null, user: null }, space), undefined)
      assert.deepEqual(inBody({ ...echo, usage: answer, input_messages: [echo], user: '}' }, space), used)
      assert.deepEqual(inBody({ usage: answer, results: [{ document: own }] }, space), used)
    }
  })

  test('in events', () => {
    const created = { type: 'response.created', response: { id: 'r', ...echo, usage: null, user: null } }
    assert.equal(find(event(created)), undefined)
    assert.equal(
      find(event(created) + event({ type: 'response.output_text.delta', delta: '"usage":{' })),
      undefined,
    )
    const completed = {
      type: 'response.completed',
      response: { ...created.response, usage: answer, input_messages: [echo] },
    }
    assert.deepEqual(find(event(created) + event(completed)), used)
    assert.deepEqual(
      find(event({ type: 'message_start', message: { usage: answer } }) + event({ type: 'ping' })),
      used,
    )
  })

  test('however often it stands there, and that takes no time', () => {
    const many = { usage: answer, note: Array.from({ length: 20_000 }, () => own) }
    const begin = performance.now()
    assert.equal(inBody(many), undefined)
    assert.ok(performance.now() - begin < 1000)
  })
})

test('a stored response that is fetched again is not counted again, as a stream neither', () => {
  const bytes = Buffer.from('data: {"response":{"usage":{"input_tokens":7,"output_tokens":3}}}\n\n')
  const of = (method: string, path: string) => usageOf(new RequestRecord(method, path, 0), bytes, true)
  assert.equal(of('POST', '/v1/responses')?.prompt, 7)
  assert.equal(of('GET', '/v1/responses/resp_1'), undefined)
  assert.equal(of('POST', '/v1/responses/resp_1/cancel'), undefined)
})
