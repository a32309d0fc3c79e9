/** An OpenAI mock server written by others as the worker: what the router assumes of vLLM must hold for it too. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { LLMock } from '@copilotkit/aimock'
import OpenAI from 'openai'
import { eventually } from '../support/deadline.ts'
import { metricValue } from '../support/metrics.ts'
import { routerOver } from '../support/router-over.ts'
import { shared } from '../support/shared.ts'

const timeout = 30_000
const model = 'gpt-4o'
const reply = 'Hello from the mock: naïve café, 数据 🙂, and quite a few words more to make several chunks.'
const hello = [{ role: 'user' as const, content: 'hello' }]
const weather = [{ role: 'user' as const, content: 'weather in Paris' }]
const tools = [
  { type: 'function' as const, function: { name: 'get_weather', parameters: { type: 'object' } } },
]

const setup = shared(async (t) => {
  const mock = new LLMock({ port: 0, chunkSize: 7, logLevel: 'silent' })
  mock.onMessage('hello', { content: reply })
  mock.onMessage('weather', { toolCalls: [{ name: 'get_weather', arguments: '{"city":"Paris"}' }] })
  mock.onEmbedding('vector', { embedding: [0.25, -0.5, 1] })
  await mock.start()
  t.after(() => mock.stop())
  const router = await routerOver([mock], { t, args: ['--health-check-endpoint', '/ready'] })
  const options = { apiKey: 'mock', maxRetries: 0, timeout: 10_000 }
  const openai = new OpenAI({ baseURL: `${router.api}/v1`, ...options })
  const anthropic = new Anthropic({ baseURL: router.api, ...options })
  return { mock, router, openai, anthropic }
})

describe('aimock behind the router', () => {
  test('its models are listed', { timeout }, async () => {
    const { openai } = await setup()
    const ids: string[] = []
    for await (const { id } of openai.models.list()) ids.push(id)
    assert.ok(ids.includes(model) && ids.includes('text-embedding-3-small'), `${ids}`)
  })

  test('chats, plain and streamed', { timeout }, async () => {
    const { openai } = await setup()
    const plain = await openai.chat.completions.create({ model, messages: hello })
    assert.equal(plain.choices[0]?.message.content, reply)
    let text = ''
    let chunks = 0
    for await (const { choices } of await openai.chat.completions.create({
      model,
      messages: hello,
      stream: true,
    })) {
      text += choices[0]?.delta.content ?? ''
      chunks++
    }
    assert.equal(text, reply)
    assert.ok(chunks > 5)
  })

  test('tool calls, plain and streamed', { timeout }, async () => {
    const { openai } = await setup()
    const request = { model, messages: weather, tools }
    const plain = await openai.chat.completions.create(request)
    const streamed = await openai.chat.completions.stream(request).finalChatCompletion()
    for (const { choices } of [plain, streamed]) {
      const call = choices[0]?.message.tool_calls?.[0]
      assert.ok(call?.type === 'function')
      assert.equal(call.function.name, 'get_weather')
      assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Paris' })
    }
  })

  test('usage at the end of a stream', { timeout }, async () => {
    const { openai } = await setup()
    const request = { model, messages: hello, stream: true as const, stream_options: { include_usage: true } }
    const usages: OpenAI.CompletionUsage[] = []
    for await (const { usage } of await openai.chat.completions.create(request)) if (usage) usages.push(usage)
    assert.equal(usages.length, 1)
    assert.ok((usages[0]?.completion_tokens ?? 0) > 0)
  })

  test('responses, plain and streamed', { timeout }, async () => {
    const { openai } = await setup()
    assert.equal((await openai.responses.create({ model, input: 'hello' })).output_text, reply)
    const final = await openai.responses.stream({ model, input: 'hello' }).finalResponse()
    assert.equal(final.output_text, reply)
  })

  test('embeddings', { timeout }, async () => {
    const { openai } = await setup()
    const request = { model: 'text-embedding-3-small', input: 'a vector', encoding_format: 'float' as const }
    assert.deepEqual((await openai.embeddings.create(request)).data[0]?.embedding, [0.25, -0.5, 1])
  })

  test('messages of the Anthropic API, plain and streamed', { timeout }, async () => {
    const { anthropic } = await setup()
    const request = { model: 'claude-3-5-sonnet-20241022', messages: hello, max_tokens: 100 }
    const plain = await anthropic.messages.create(request)
    const streamed = await anthropic.messages.stream(request).finalMessage()
    for (const { content } of [plain, streamed]) {
      assert.deepEqual(
        content.map((block) => block.type === 'text' && block.text),
        [reply],
      )
    }
  })

  test('its own errors', { timeout }, async () => {
    const { mock, openai } = await setup()
    mock.nextRequestError(400, { message: 'no, not like this', type: 'invalid_request_error', code: 'bad' })
    await assert.rejects(openai.chat.completions.create({ model, messages: hello }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError)
      assert.equal(error.code, 'bad')
      assert.match(error.message, /no, not like this/)
      return true
    })
  })

  test('all of that is counted as success, and nothing is left in flight', { timeout }, async () => {
    const { mock, router } = await setup()
    await eventually(async () => (await router.metric('vllm_router_running_requests')) === 0, {
      what: 'no request in flight',
    })
    const metrics = await router.metrics()
    const sent = metricValue(metrics, 'vllm_router_processed_requests_total') ?? 0
    assert.ok(sent >= 11)
    const worker = { worker: mock.url }
    assert.equal(
      metricValue(metrics, 'vllm_router_cb_outcomes_total', { ...worker, outcome: 'success' }),
      sent,
    )
    assert.equal(metricValue(metrics, 'vllm_router_streams_ended_total', { reason: 'completed' }), 5)
  })
})
