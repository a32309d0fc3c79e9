/** The simulated vLLM answers every path of vLLM, counts exactly, and words its errors as vLLM does. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { type SimulatedVllm, startSimulatedVllm } from '../../sim/server.ts'
import { within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import type { Scope } from '../support/scope.ts'

async function sim(t: Scope, options: Parameters<typeof startSimulatedVllm>[0] = {}): Promise<SimulatedVllm> {
  const server = await startSimulatedVllm(options)
  t.after(() => server.close())
  return server
}

async function post(port: number, path: string, json: unknown, headers: Record<string, string> = {}) {
  const { status, text } = await within(5000, rawRequest({ port, path, json, headers }).text(), path)
  return { status, json: text === '' ? undefined : JSON.parse(text) }
}

async function get(port: number, path: string, headers: Record<string, string> = {}) {
  return await within(5000, rawRequest({ port, path, headers }).text(), path)
}

const messages = [{ role: 'user', content: '12345678' }]

describe('counts', () => {
  test('are four characters a token for the prompt and exactly max_tokens for the answer', async (t) => {
    const { port } = await sim(t)
    const parts = [{ role: 'user', content: [{ type: 'text', text: '12345' }, { type: 'image_url' }] }]
    const cases: [string, object, number, number, string][] = [
      ['/v1/chat/completions', { messages, max_tokens: 7 }, 2, 7, 'length'],
      ['/v1/chat/completions', { messages, max_completion_tokens: 5, max_tokens: 7 }, 2, 5, 'length'],
      ['/v1/chat/completions', { messages: parts }, 2, 16, 'stop'],
      ['/v1/chat/completions', { messages: [...messages, ...messages], max_tokens: null }, 4, 16, 'stop'],
      ['/v1/completions', { prompt: '123456789', max_tokens: 1 }, 3, 1, 'length'],
      ['/v1/completions', { prompt: ['1234', '12345'], n: 2, max_tokens: 3 }, 3, 12, 'length'],
      ['/v1/completions', { prompt: [5, 6, 7], max_tokens: 3 }, 3, 3, 'length'],
      ['/v1/completions', { prompt: [[5], [6, 7]], max_tokens: 3 }, 3, 6, 'length'],
    ]
    for (const [path, body, prompt, completion, reason] of cases) {
      const { json } = await post(port, path, body)
      const what = `${path} ${JSON.stringify(body)}`
      assert.equal(json.usage.prompt_tokens, prompt, what)
      assert.equal(json.usage.completion_tokens, completion, what)
      assert.equal(json.usage.total_tokens, prompt + completion, what)
      assert.ok(
        json.choices.every((choice: { finish_reason: string }) => choice.finish_reason === reason),
        what,
      )
    }
  })

  test('of cached tokens come from blocks of 16, and can be switched off', async (t) => {
    const on = await sim(t)
    const off = await sim(t, { prefixCache: false })
    const prompt = 'x'.repeat(200)
    const cached = async (port: number, text: string) =>
      (await post(port, '/v1/completions', { prompt: text })).json.usage.prompt_tokens_details?.cached_tokens
    assert.equal(await cached(on.port, prompt), 0)
    assert.equal(await cached(on.port, prompt), 48)
    assert.equal(await cached(on.port, `${'x'.repeat(64)}${'y'.repeat(136)}`), 16)
    assert.equal(await cached(on.port, 'x'.repeat(128)), 16, 'the last token is computed')
    await post(on.port, '/reset_prefix_cache', {})
    assert.equal(await cached(on.port, prompt), 0)
    assert.equal(await cached(off.port, prompt), undefined)
  })
})

describe('paths', () => {
  test('of the pooling APIs answer by the text alone', async (t) => {
    const { port } = await sim(t)
    const twice = async (path: string, body: object) => {
      const [one, two] = [await post(port, path, body), await post(port, path, body)]
      assert.deepEqual(one.json.data ?? one.json.results, two.json.data ?? two.json.results, path)
      return one.json
    }
    const input = ['a', 'b']
    const { data } = await twice('/v1/embeddings', { input, dimensions: 4 })
    assert.deepEqual([data.length, data[0].embedding.length], [2, 4])
    assert.notDeepEqual(data[0].embedding, data[1].embedding)
    const coded = await twice('/v1/embeddings', { input: 'a', dimensions: 4, encoding_format: 'base64' })
    const bytes = Buffer.from(coded.data[0].embedding, 'base64')
    assert.deepEqual(
      [0, 4, 8, 12].map((at) => bytes.readFloatLE(at)),
      data[0].embedding,
    )
    for (const path of ['/v1/rerank', '/v2/rerank', '/rerank']) {
      const { results } = await twice(path, { query: 'q', documents: ['a', 'b', 'c'], top_n: 2 })
      assert.equal(results.length, 2)
      assert.ok(results[0].relevance_score >= results[1].relevance_score)
    }
    for (const path of ['/v1/score', '/score']) {
      assert.equal((await twice(path, { text_1: 'q', text_2: input })).data.length, 2)
    }
    assert.equal((await twice('/classify', { input })).data[1].probs.length, 2)
    assert.equal((await twice('/pooling', { input })).data.length, 2)
  })

  test("of tokens are each other's reverse", async (t) => {
    const { port } = await sim(t)
    const { json } = await post(port, '/tokenize', { prompt: 'Hello, world' })
    assert.equal(json.count, 3)
    assert.deepEqual((await post(port, '/detokenize', { tokens: json.tokens })).json, {
      prompt: 'Hello, world',
    })
    const counted = await post(port, '/v1/messages/count_tokens', { messages, system: '1234' })
    assert.equal(counted.json.input_tokens, 3)
  })

  test('of audio take multipart and report the received bytes', async (t) => {
    const server = await sim(t)
    for (const path of ['/v1/audio/transcriptions', '/v1/audio/translations']) {
      const form = new FormData()
      form.set('model', 'facebook/opt-350m')
      form.set('file', new Blob([new Uint8Array(100_000)]), 'a.wav')
      const answer = (await (await fetch(server.url + path, { method: 'POST', body: form })).json()) as {
        text: string
        bytes: number
      }
      assert.equal(answer.bytes, server.lastRequest()?.body.length)
      assert.ok(answer.bytes > 100_000 && answer.text.length > 0)
      form.set('model', 'other')
      assert.equal((await fetch(server.url + path, { method: 'POST', body: form })).status, 404)
      assert.equal((await post(server.port, path, {})).status, 400)
    }
  })

  test('of service answer as vLLM does, and say that they are simulated', async (t) => {
    const { port } = await sim(t, { model: ['first', 'second'] })
    assert.deepEqual(await get(port, '/health'), { status: 200, text: '' })
    assert.deepEqual(await get(port, '/ping'), { status: 200, text: '' })
    assert.equal(JSON.parse((await get(port, '/version')).text).simulated, true)
    assert.deepEqual(JSON.parse((await get(port, '/load')).text), { server_load: 0 })
    const { data } = JSON.parse((await get(port, '/v1/models')).text)
    assert.deepEqual(
      data.map(({ id }: { id: string }) => id),
      ['first', 'second'],
    )
    for (const path of ['/sleep', '/wake_up', '/reset_prefix_cache', '/pause', '/resume']) {
      assert.equal((await post(port, path, {})).status, 200, path)
    }
    assert.deepEqual(await get(port, '/nowhere'), { status: 404, text: '{"detail":"Not Found"}' })
    assert.deepEqual(await get(port, '/rerank'), { status: 405, text: '{"detail":"Method Not Allowed"}' })
    const spoken = await post(port, '/invocations', { messages, max_tokens: 1 })
    assert.equal(spoken.json.object, 'chat.completion')
  })

  test('can be told apart by worker and keep what they received', async (t) => {
    const server = await sim(t, { id: 'w-9', recordRequests: true })
    const body = '{ "prompt" : "a",\n"x":1e0 }'
    const headers = { 'x-request-id': 'abc', 'X-Data-Parallel-Rank': '3' }
    const exchange = rawRequest({
      port: server.port,
      method: 'POST',
      path: '/v1/completions?a=b',
      headers,
      body,
    })
    assert.equal((await within(5000, exchange.head, 'the head')).header('x-worker-id'), 'w-9')
    const last = server.lastRequest()
    assert.equal(last?.body.toString(), body)
    assert.equal(last?.url, '/v1/completions?a=b')
    assert.ok(last?.rawHeaders.includes('X-Data-Parallel-Rank'))
    const { receivedIds, completedIds, completed, generatedTokens } = server.stats()
    assert.deepEqual([receivedIds, completedIds, completed, generatedTokens], [['abc'], ['abc'], 1, 16])
  })
})

describe('errors', () => {
  test('are 400 for what cannot be read, 404 for an unknown model, in the shape of vLLM', async (t) => {
    const { port } = await sim(t, { maxModelLen: 100 })
    const chat = '/v1/chat/completions'
    const cases: [string, object, number, string | null][] = [
      [chat, {}, 400, 'messages'],
      [chat, { messages: [] }, 400, 'messages'],
      [chat, { messages: ['a'] }, 400, 'messages'],
      [chat, { messages, max_tokens: 0 }, 400, 'max_tokens'],
      [chat, { messages, max_tokens: '3' }, 400, 'max_tokens'],
      [chat, { messages, max_tokens: 99 }, 400, 'input_tokens'],
      [chat, { messages, stream: 'yes' }, 400, 'stream'],
      [chat, { messages, n: 0 }, 400, 'n'],
      [chat, { messages, tool_choice: 'required' }, 400, 'tool_choice'],
      ['/v1/completions', {}, 400, 'prompt'],
      ['/v1/completions', { prompt: [1.5] }, 400, 'prompt'],
      ['/v1/embeddings', { input: [] }, 400, 'input'],
      ['/v1/responses', {}, 400, 'input'],
      ['/v1/completions', { prompt: 'a', model: 'nobody' }, 404, 'model'],
    ]
    for (const [path, body, status, param] of cases) {
      const { error } = (await post(port, path, body)).json
      assert.deepEqual([error.code, error.param], [status, param], `${path} ${JSON.stringify(body)}`)
      assert.equal(error.type, status === 404 ? 'NotFoundError' : 'BadRequestError')
    }
    const unknown = await post(port, chat, { messages, model: 'nobody' })
    assert.equal(unknown.json.error.message, 'The model `nobody` does not exist.')
    const odd = await post(port, chat, { messages, model: { toString: 1 } })
    assert.equal(odd.json.error.message, 'The model `{"toString":1}` does not exist.')
    const broken = rawRequest({ port, method: 'POST', path: chat, body: '{"messages":' })
    assert.equal((await within(5000, broken.text(), 'the answer')).status, 400)
    const anthropic = await post(port, '/v1/messages', { messages })
    assert.deepEqual([anthropic.status, anthropic.json.type], [400, 'error'])
  })

  test('are 401 with a string for a missing or wrong key, on versioned paths only', async (t) => {
    const { port } = await sim(t, { apiKey: 'k' })
    const path = '/v1/models'
    const refused = { status: 401, text: '{"error":"Unauthorized"}' }
    assert.deepEqual(await get(port, path), refused)
    assert.deepEqual(await get(port, path, { authorization: 'Bearer wrong' }), refused)
    assert.equal((await get(port, path, { authorization: 'Bearer k' })).status, 200)
    assert.equal((await get(port, '/health')).status, 200)
  })

  test('name the option that cannot be', async () => {
    await assert.rejects(startSimulatedVllm({ jitter: 2 }), /jitter: must be between 0 and 1, got 2/)
    await assert.rejects(startSimulatedVllm({ maxConcurrent: 0 }), /maxConcurrent: must be 1 or more/)
    await assert.rejects(startSimulatedVllm({ model: [] }), /model: at least one/)
    await assert.rejects(startSimulatedVllm({ ttftMs: Number.NaN }), /ttftMs: must be 0 or more, got NaN/)
  })
})

describe('the official clients', () => {
  test('of OpenAI read chat, responses and embeddings, streamed and plain', async (t) => {
    const { url } = await sim(t)
    const client = new OpenAI({ apiKey: 'none', baseURL: `${url}/v1`, maxRetries: 0 })
    const model = 'facebook/opt-350m'
    const ask = { model, max_tokens: 3, messages: [{ role: 'user' as const, content: 'hi' }] }
    const plain = await client.chat.completions.create(ask)
    let streamed = ''
    for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) {
      streamed += chunk.choices[0]?.delta.content ?? ''
    }
    assert.equal(streamed, plain.choices[0]?.message.content)
    let delta = ''
    for await (const event of await client.responses.create({ model, input: 'hi', stream: true })) {
      if (event.type === 'response.output_text.delta') delta += event.delta
      if (event.type === 'response.completed') assert.equal(event.response.status, 'completed')
    }
    assert.equal((await client.responses.create({ model, input: 'hi' })).output_text, delta)
    // The client asks for base64 by itself and decodes it.
    const { data } = await client.embeddings.create({ model, input: 'hi', dimensions: 4 })
    assert.equal(data[0]?.embedding.length, 4)
  })

  test('of Anthropic reads messages, streamed and plain', async (t) => {
    const { url } = await sim(t)
    const client = new Anthropic({ apiKey: 'none', baseURL: url, maxRetries: 0 })
    const ask = {
      model: 'facebook/opt-350m',
      max_tokens: 3,
      messages: [{ role: 'user' as const, content: 'hi' }],
    }
    const plain = await client.messages.create(ask)
    const streamed = await client.messages.stream(ask).finalMessage()
    assert.deepEqual(streamed.content, plain.content)
    assert.equal(streamed.stop_reason, 'max_tokens')
    assert.equal(streamed.usage.output_tokens, 3)
  })
})
