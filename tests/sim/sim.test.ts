/** The simulated vLLM frames its streams byte for byte as vLLM does. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type SimulatedVllm, startSimulatedVllm } from '../../sim/server.ts'
import { within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import type { Scope } from '../support/scope.ts'

const chat = '/v1/chat/completions'
const messages = [{ role: 'user', content: 'Say something nice.' }]

async function sim(t: Scope, options: Parameters<typeof startSimulatedVllm>[0] = {}): Promise<SimulatedVllm> {
  const server = await startSimulatedVllm(options)
  t.after(() => server.close())
  return server
}

async function post(port: number, path: string, json: unknown, headers: Record<string, string> = {}) {
  const exchange = rawRequest({ port, path, json, headers })
  const head = await within(5000, exchange.head, `the head of ${path}`)
  const { bytes, complete } = await within(5000, exchange.body, `the body of ${path}`)
  assert.ok(complete, `the body of ${path} is complete`)
  return { head, text: bytes.toString(), events: exchange.events, raw: exchange.raw().toString() }
}

describe('a chat stream', () => {
  test('is role delta, tokens, finish, [DONE], LF framed, exactly', async (t) => {
    const { port } = await sim(t)
    const json = { model: 'facebook/opt-350m', messages, max_tokens: 2, stream: true }
    const plain = await post(port, chat, { ...json, stream: false })
    const { message } = JSON.parse(plain.text).choices[0]
    const { head, text } = await post(port, chat, json, { 'X-Request-Id': 'r-1' })
    const created = /"created":(\d+)/.exec(text)?.[1]
    const [first, second] = [message.content.split(' ')[0], ` ${message.content.split(' ')[1]}`]
    const event = (delta: string, finish = 'null,"token_ids":null', rest = '') =>
      `data: {"id":"chatcmpl-r-1","object":"chat.completion.chunk","created":${created},` +
      `"model":"facebook/opt-350m","choices":[{"index":0,"delta":${delta},"logprobs":null,` +
      `"finish_reason":${finish}}]${rest}}\n\n`
    assert.equal(
      text,
      event('{"role":"assistant","content":""}', 'null', ',"prompt_token_ids":null,"prompt_text":null') +
        event(`{"content":"${first}"}`) +
        event(`{"content":"${second}"}`, '"length","stop_reason":null,"token_ids":null') +
        'data: [DONE]\n\n',
    )
    assert.equal(head.status, 200)
    assert.equal(head.header('content-type'), 'text/event-stream; charset=utf-8')
    assert.equal(head.header('transfer-encoding'), 'chunked')
    assert.equal(head.header('x-request-id'), 'r-1')
    assert.equal(head.header('x-worker-id'), 'worker-1')
    assert.equal(head.header('x-simulated'), 'vllm')
    assert.equal(head.header('keep-alive'), undefined)
  })

  test('without a limit has 16 tokens and stops by itself in an event of its own', async (t) => {
    const { port } = await sim(t)
    const { events } = await post(port, chat, { messages, stream: true })
    const chunks = events.slice(0, -1).map(({ data }) => JSON.parse(data).choices[0])
    assert.equal(chunks.length, 1 + 16 + 1)
    assert.equal(events.at(-1)?.data, '[DONE]')
    assert.ok(
      chunks.slice(1, 17).every(({ delta, finish_reason }) => delta.content && finish_reason === null),
    )
    assert.deepEqual(chunks.at(-1).delta, { content: '' })
    assert.equal(chunks.at(-1).finish_reason, 'stop')
  })

  test('says the words of the plain answer, on every server with the same seed', async (t) => {
    const servers = [await sim(t), await sim(t), await sim(t, { seed: 2 })]
    const texts: string[] = []
    for (const { port } of servers) {
      const json = { messages, max_tokens: 40 }
      const { events } = await post(port, chat, { ...json, stream: true })
      const streamed = events.slice(0, -1).map(({ data }) => JSON.parse(data).choices[0].delta.content)
      const plain = JSON.parse((await post(port, chat, json)).text).choices[0].message.content
      assert.equal(streamed.join(''), plain)
      texts.push(plain)
    }
    assert.equal(texts[0], texts[1])
    assert.notEqual(texts[0], texts[2])
  })

  test('sends usage at the end, or with every event, when asked', async (t) => {
    const { port } = await sim(t)
    const json = { messages, max_tokens: 3, stream: true }
    const none = await post(port, chat, json)
    assert.ok(!none.text.includes('usage'))
    const end = await post(port, chat, { ...json, stream_options: { include_usage: true } })
    const last = JSON.parse(end.events.at(-2)?.data ?? '')
    assert.deepEqual(last.choices, [])
    assert.deepEqual(
      [last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens],
      [5, 3, 8],
    )
    assert.equal(end.text.match(/usage/g)?.length, 1)
    const options = { include_usage: true, continuous_usage_stats: true }
    const always = await post(port, chat, { ...json, stream_options: options })
    const counts = always.events.slice(0, -1).map(({ data }) => JSON.parse(data).usage.completion_tokens)
    assert.deepEqual(counts, [0, 1, 2, 3, 3])
  })

  test('interleaves n choices, each with its own role and finish', async (t) => {
    const { port } = await sim(t)
    const { events } = await post(port, chat, { messages, max_tokens: 2, n: 3, stream: true })
    const chunks = events.slice(0, -1).map(({ data }) => JSON.parse(data).choices[0])
    assert.deepEqual(
      chunks.map(({ index }) => index),
      [0, 1, 2, 0, 1, 2, 0, 1, 2],
    )
    assert.ok(chunks.slice(0, 3).every(({ delta }) => delta.role === 'assistant'))
    assert.ok(chunks.slice(6).every(({ finish_reason }) => finish_reason === 'length'))
  })

  test('calls the demanded tool with valid arguments, streamed and plain', async (t) => {
    const { port } = await sim(t)
    const parameters = { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } } }
    const tools = [{ type: 'function', function: { name: 'weather', parameters } }]
    for (const tool_choice of ['required', { type: 'function', function: { name: 'weather' } }]) {
      const json = { messages, tools, tool_choice }
      const plain = JSON.parse((await post(port, chat, json)).text).choices[0]
      assert.equal(plain.finish_reason, 'tool_calls')
      assert.equal(plain.message.tool_calls[0].function.name, 'weather')
      const { events } = await post(port, chat, { ...json, stream: true })
      const calls = events.slice(1, -2).map(({ data }) => JSON.parse(data).choices[0].delta.tool_calls[0])
      assert.equal(calls[0].function.name, 'weather')
      const args = calls.map((call) => call.function.arguments).join('')
      assert.deepEqual(JSON.parse(args), { city: 'example', days: 1 })
      assert.equal(plain.message.tool_calls[0].function.arguments, args)
      assert.equal(JSON.parse(events.at(-2)?.data ?? '').choices[0].finish_reason, 'tool_calls')
    }
  })
})

describe('other streams', () => {
  test('completions have text choices for every prompt and end with [DONE]', async (t) => {
    const { port } = await sim(t)
    const json = {
      prompt: ['one', 'two'],
      max_tokens: 2,
      stream: true,
      stream_options: { include_usage: true },
    }
    const { events } = await post(port, '/v1/completions', json)
    const chunks = events.slice(0, -1).map(({ data }) => JSON.parse(data))
    assert.deepEqual(
      chunks.map(({ choices }) => choices[0]?.index),
      [0, 1, 0, 1, undefined],
    )
    assert.ok(chunks.every(({ object }) => object === 'text_completion'))
    assert.equal(chunks[3].choices[0].finish_reason, 'length')
    assert.equal(chunks[4].usage.completion_tokens, 4)
    assert.equal(events.at(-1)?.data, '[DONE]')
  })

  test('messages have the events of Anthropic in order and no [DONE]', async (t) => {
    const { port } = await sim(t)
    const { events, text } = await post(port, '/v1/messages', { messages, max_tokens: 2, stream: true })
    const names = [
      'message_start',
      'content_block_start',
      'ping',
      'content_block_delta',
      'content_block_delta',
    ]
    names.push('content_block_stop', 'message_delta', 'message_stop')
    assert.deepEqual(
      events.map(({ event }) => event),
      names,
    )
    assert.deepEqual(
      events.map(({ data }) => JSON.parse(data).type),
      names,
    )
    assert.ok(!text.includes('[DONE]'))
    const { delta, usage } = JSON.parse(events[6]?.data ?? '')
    assert.equal(delta.stop_reason, 'max_tokens')
    assert.deepEqual(usage, { input_tokens: 5, output_tokens: 2 })
  })

  test('responses number their events, end with response.completed, and are kept', async (t) => {
    const { port } = await sim(t)
    const { events } = await post(port, '/v1/responses', {
      input: 'hello',
      max_output_tokens: 2,
      stream: true,
    })
    const names = ['created', 'in_progress', 'output_item.added', 'content_part.added', 'output_text.delta']
    names.push('output_text.delta', 'output_text.done', 'content_part.done', 'output_item.done', 'completed')
    assert.deepEqual(
      events.map(({ event }) => event),
      names.map((name) => `response.${name}`),
    )
    assert.deepEqual(
      events.map(({ data }) => JSON.parse(data).sequence_number),
      names.map((_, index) => index),
    )
    const { response } = JSON.parse(events.at(-1)?.data ?? '')
    const again = await rawRequest({ port, path: `/v1/responses/${response.id}` }).text()
    assert.deepEqual(JSON.parse(again.text), response)
    assert.equal((await rawRequest({ port, path: '/v1/responses/resp_unknown' }).text()).status, 404)
  })

  test('generate streams one JSON line per token', async (t) => {
    const { port } = await sim(t)
    const { text } = await post(port, '/generate', { prompt: 'Hi ', max_tokens: 3, stream: true })
    const lines = text.trimEnd().split('\n')
    assert.equal(lines.length, 3)
    assert.ok(lines.every((line) => JSON.parse(line).text[0].startsWith('Hi ')))
  })
})
