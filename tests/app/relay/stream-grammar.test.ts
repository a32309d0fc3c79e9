/** What the relay makes of one event of a worker's stream: nothing yet, content, an error, the end. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { EventScanner, eachEvent } from '../../../app/relay/event-scanner.ts'
import { bearsData, glanceAtEvent, type Meaning, readEvent } from '../../../app/relay/grammar.ts'
import { type Dialect, dialectOf, errorEvent, RouterError } from '../../../http/errors.ts'
import { type SimulatedVllm, startSimulatedVllm } from '../../../sim/server.ts'
import { within } from '../../support/deadline.ts'
import { rawRequest } from '../../support/raw-client.ts'
import type { Scope } from '../../support/scope.ts'
import { chatChunk, completionChunk, knownEvents, typed } from '../../support/vllm-events.ts'

describe('an event before the commit means', () => {
  for (const { what, dialect, bytes, meaning } of knownEvents) {
    test(`${meaning}, if it is ${what}`, () => {
      assert.equal(readEvent(bytes, dialect).meaning, meaning)
    })
  }

  for (const [what, text] of [
    ['an empty text', chatChunk('{"content":""}')],
    ['nothing', chatChunk('{}')],
    ['an empty text of a completion', completionChunk('""')],
    ['no data', 'data:\n\n'],
    ['an empty object', 'data: {}\n\n'],
    ['no token ids', chatChunk('{"content":""}', '"finish_reason":null,"token_ids":[]')],
    ['a choice without anything', 'data: {"choices":[{"index":0}]}\n\n'],
    ['a delta that is null', 'data: {"choices":[{"index":0,"delta":null}]}\n\n'],
    ['no choices', 'data: {"choices":[]}\n\n'],
    ['a byte order mark before nothing', '\ufeffdata: {}\n\n'],
  ] as const) {
    test(`silent, if it holds ${what}`, () => {
      assert.equal(readEvent(Buffer.from(text), 'openai').meaning, 'silent')
    })
  }

  test('content, if it is no JSON at all or JSON of an unknown kind', () => {
    for (const data of ['hello', '{"a":', '42', '[1]', '"text"', '{"object":"future"}']) {
      assert.equal(readEvent(Buffer.from(`data: ${data}\n\n`), 'openai').meaning, 'content', data)
    }
  })

  test('content, if its choices are of an unknown kind', () => {
    for (const choice of ['7', 'null', '"text"', '{"delta":"text"}', '{"delta":7}', '{"text":"a"}']) {
      const event = Buffer.from(`data: {"choices":[${choice}]}\n\n`)
      assert.equal(readEvent(event, 'openai').meaning, 'content', choice)
    }
  })

  test('the same when its data is spread over several lines', () => {
    const spread = 'data: {"choices":\ndata: [{"delta":\ndata: {"role":"assistant"}}]}\n\n'
    assert.equal(readEvent(Buffer.from(spread), 'openai').meaning, 'silent')
    assert.equal(readEvent(Buffer.from(spread.replaceAll('\n', '\r')), 'openai').meaning, 'silent')
  })
})

describe('an event after the commit counts', () => {
  for (const { what, dialect, bytes, meaning, closing } of knownEvents) {
    const expected: Meaning = closing ? 'silent' : meaning
    const name = { silent: 'for nothing', content: 'as a token', error: 'as an error', end: 'as the end' }
    test(`${name[expected]}, if it is ${what}`, () => {
      assert.equal(glanceAtEvent(bytes, dialect), expected)
    })
  }
})

test('a role counts for nothing, also where the JSON is spaced', () => {
  const event = 'data: {"choices": [{"index": 0, "delta": {"role":"assistant"}}]}\n\n'
  assert.equal(glanceAtEvent(Buffer.from(event), 'openai'), 'silent')
})

test('data bears an event that has a line of it, and nothing else does', () => {
  for (const text of [
    'data: x\n\n',
    'data\n\n',
    'event: a\ndata: x\n\n',
    'id: 1\rdata: x\r\r',
    ': c\r\ndata:\r\n\r\n',
  ])
    assert.equal(bearsData(Buffer.from(text)), true, text)
  for (const text of [': data: x\n\n', 'event: data\n\n', 'id: 7\n\n', '\n', ''])
    assert.equal(bearsData(Buffer.from(text)), false, text)
})

describe('an error within a stream', () => {
  const errorIn = (data: string, dialect: Dialect = 'openai') =>
    readEvent(Buffer.from(`data: ${data}\n\n`), dialect).error

  test('has the status that the worker gives it', () => {
    assert.deepEqual(errorIn('{"error": {"message": "too long", "code": 400}}'), {
      status: 400,
      message: 'too long',
    })
    assert.deepEqual(errorIn('{"error":{"object":"error","message":"busy","code":"503"}}'), {
      status: 503,
      message: 'busy',
    })
  })

  test('is a server error when its code is no status of an error', () => {
    for (const code of ['null', '"server_error"', '200', '0', '1000', '4.5', '{}']) {
      assert.equal(errorIn(`{"error":{"message":"m","code":${code}}}`)?.status, 500, code)
    }
    assert.equal(errorIn('{"error":{"message":"m"}}')?.status, 500)
  })

  test('has a message whatever the worker wrote', () => {
    assert.equal(errorIn('{"error":"scaling"}')?.message, 'scaling')
    assert.equal(
      errorIn('{"error":{"message":7}}')?.message,
      'the worker reported an error within the stream',
    )
    assert.equal(errorIn('{"type":"error","error":{"message":"m"}}', 'anthropic')?.message, 'm')
    assert.equal(errorIn('{"type":"error","code":"x","message":"m"}', 'responses')?.message, 'm')
    assert.equal(
      errorIn('{"type":"response.failed","response":{"error":{"code":"x","message":"m"}}}', 'responses')
        ?.message,
      'm',
    )
  })

  test('is none where the field says that there is none', () => {
    assert.equal(errorIn('{"error":null,"choices":[{"delta":{"content":"a"}}]}'), undefined)
  })

  test('as the router itself writes it is read as one, too', () => {
    for (const dialect of ['openai', 'responses', 'anthropic'] as const) {
      const event = Buffer.from(errorEvent(new RouterError('worker_lost', 'lost'), dialect))
      assert.equal(readEvent(event, dialect).meaning, 'error')
      assert.equal(readEvent(event, dialect).error?.message, 'lost')
      assert.equal(glanceAtEvent(event, dialect), 'error')
    }
  })
})

describe('the thorough and the quick look agree', () => {
  const text = fc.oneof(
    fc.string({ minLength: 1 }),
    fc.string({ unit: 'grapheme', minLength: 1 }),
    fc.constantFrom(
      '"choices":[]',
      '[DONE]',
      '{"error":1}',
      '"role":"',
      'data: [DONE]\n\n',
      'event: error\n',
      '\\"',
    ),
  )
  const events: readonly (readonly [Dialect, (json: string) => string])[] = [
    ['openai', (json) => chatChunk(`{"content":${json}}`)],
    ['openai', (json) => chatChunk(`{"role":"assistant","content":${json}}`)],
    ['openai', (json) => chatChunk(`{"reasoning_content":${json}}`)],
    ['openai', (json) => chatChunk(`{"tool_calls":[{"index":0,"function":{"arguments":${json}}}]}`)],
    ['openai', (json) => completionChunk(json)],
    ['responses', (json) => typed('response.output_text.delta', `"delta":${json}`)],
    ['anthropic', (json) => typed('content_block_delta', `"delta":{"type":"text_delta","text":${json}}`)],
  ]

  test('that any text is content, whatever it looks like', () => {
    fc.assert(
      fc.property(fc.constantFrom(...events), text, ([dialect, write], value) => {
        const event = Buffer.from(write(JSON.stringify(value)))
        assert.equal(readEvent(event, dialect).meaning, 'content')
        assert.equal(glanceAtEvent(event, dialect), 'content')
      }),
      { numRuns: 500 },
    )
  })

  const closing = /^event: (?:response\..*done|content_block_stop|message_delta)$/m
  const messages = [{ role: 'user', content: 'hello' }]
  const tools = [{ type: 'function', function: { name: 'get_weather', parameters: {} } }]
  const usage = { stream_options: { include_usage: true } }
  const requests: readonly (readonly [path: string, body: object])[] = [
    ['/v1/chat/completions', { messages, max_tokens: 3 }],
    ['/v1/chat/completions', { messages, n: 3, ...usage }],
    ['/v1/chat/completions', { messages, tools, tool_choice: 'required', ...usage }],
    ['/v1/completions', { prompt: ['a', 'b'], max_tokens: 3, ...usage }],
    ['/v1/responses', { input: 'hello', max_output_tokens: 3 }],
    ['/v1/messages', { messages, max_tokens: 3 }],
  ]

  for (const [path, body] of requests) {
    test(`on every event of a simulated ${path} with ${Object.keys(body)}`, async (t) => {
      const worker = await sim(t)
      const meanings = await stream(worker.port, path, body)
      assert.ok(meanings.includes('content') && meanings.includes('silent'), `${meanings}`)
      assert.equal(meanings.at(-1), 'end')
    })
  }

  test('on every event of a stream that fails', async (t) => {
    for (const [path, body] of requests) {
      const worker = await sim(t, 'error-event:1')
      const meanings = await stream(worker.port, path, body)
      assert.ok(meanings.includes('error'), `${path}: ${meanings}`)
    }
  })

  async function sim(t: Scope, fault?: string): Promise<SimulatedVllm> {
    const server = await startSimulatedVllm()
    if (fault !== undefined) server.setFault(fault)
    t.after(() => server.close())
    return server
  }

  /** What the events of the answer mean, after both have looked at each. */
  async function stream(port: number, path: string, body: object): Promise<Meaning[]> {
    const answer = rawRequest({ port, path, json: { ...body, stream: true } })
    const bytes = Buffer.from((await within(5000, answer.text(), path)).text)
    const dialect = dialectOf(path)
    const meanings: Meaning[] = []
    eachEvent(new EventScanner().push(bytes) ?? bytes, (event) => {
      const { meaning } = readEvent(event, dialect)
      meanings.push(meaning)
      const quick = closing.test(event.toString()) ? 'silent' : meaning
      assert.equal(glanceAtEvent(event, dialect), quick, event.toString())
    })
    return meanings
  }
})
