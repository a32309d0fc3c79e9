/** The official OpenAI client speaks to workers through the router as it would speak to them alone. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import OpenAI from 'openai'
import { startFleet } from '../../sim/fleet.ts'
import { tokenText } from '../support/answers.ts'
import { eventually, within } from '../support/deadline.ts'
import { closeMidStream } from '../support/faults.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { shared } from '../support/shared.ts'
import { answer } from '../support/wire.ts'

const timeout = 30_000
const model = 'facebook/opt-350m'
const scripted = 'scripted-model'
const messages = [{ role: 'user' as const, content: 'What is the weather in Paris? 🙂' }]

const setup = shared(async (t) => {
  const fleet = await startFleet({ size: 2, tokenMs: 1 })
  t.after(() => fleet.close())
  const worker = await startScriptedWorker(undefined, { t, model: scripted, tokens: 500, tokenMs: 10 })
  const router = await routerOver([...fleet.workers, worker], { t })
  const client = new OpenAI({ baseURL: `${router.api}/v1`, apiKey: 'unused', maxRetries: 0, timeout: 10_000 })
  return { fleet, worker, router, client }
})

const tools = [
  {
    type: 'function' as const,
    function: {
      name: 'get_weather',
      description: 'The weather of a city',
      parameters: {
        type: 'object',
        properties: { city: { type: 'string' }, days: { type: 'integer' } },
        required: ['city'],
      },
    },
  },
]

describe('the OpenAI client', () => {
  test('lists the models of all workers, and gets one by its name', { timeout }, async () => {
    const { client } = await setup()
    const ids: string[] = []
    for await (const one of client.models.list()) ids.push(one.id)
    assert.deepEqual(ids.sort(), [model, scripted])
    assert.equal((await client.models.retrieve(model)).id, model)
  })

  test('gets completions, plain and streamed, with the same text', { timeout }, async () => {
    const { client } = await setup()
    const request = { model, prompt: 'Once upon a time', max_tokens: 12 }
    const plain = await client.completions.create(request)
    assert.deepEqual([plain.usage?.completion_tokens, plain.choices[0]?.finish_reason], [12, 'length'])
    let text = ''
    for await (const chunk of await client.completions.create({ ...request, stream: true })) {
      text += chunk.choices[0]?.text ?? ''
    }
    assert.equal(text, plain.choices[0]?.text)
    assert.ok(text.length > 12)
  })

  test('gets chats, plain and streamed, with the same text', { timeout }, async () => {
    const { client } = await setup()
    const plain = await client.chat.completions.create({ model, messages, max_tokens: 9 })
    assert.equal(plain.choices[0]?.message.role, 'assistant')
    const stream = client.chat.completions.stream({ model, messages, max_tokens: 9 })
    const final = await stream.finalChatCompletion()
    assert.equal(final.choices[0]?.message.content, plain.choices[0]?.message.content)
    assert.equal(final.choices[0]?.finish_reason, 'length')
  })

  test('gets tool calls, plain and streamed', { timeout }, async () => {
    const { client } = await setup()
    const request = { model, messages, tools, tool_choice: 'required' as const }
    const plain = await client.chat.completions.create(request)
    assert.equal(plain.choices[0]?.finish_reason, 'tool_calls')
    const call = plain.choices[0]?.message.tool_calls?.[0]
    assert.ok(call?.type === 'function')
    assert.equal(call.function.name, 'get_weather')
    assert.deepEqual(JSON.parse(call.function.arguments), { city: 'example', days: 1 })
    const final = await client.chat.completions.stream(request).finalChatCompletion()
    const streamed = final.choices[0]?.message.tool_calls?.[0]
    assert.ok(streamed?.type === 'function')
    assert.deepEqual(streamed.function, call.function)
  })

  test('gets two choices, interleaved in a stream', { timeout }, async () => {
    const { client } = await setup()
    const plain = await client.chat.completions.create({ model, messages, n: 2, max_tokens: 5 })
    assert.deepEqual(
      plain.choices.map(({ index }) => index),
      [0, 1],
    )
    const texts = ['', '']
    const request = { model, messages, n: 2, max_tokens: 5, stream: true as const }
    for await (const { choices } of await client.chat.completions.create(request)) {
      for (const { index, delta } of choices) texts[index] += delta.content ?? ''
    }
    assert.deepEqual(
      texts,
      plain.choices.map(({ message }) => message.content),
    )
  })

  test('gets usage at the end of a stream when it asks for it', { timeout }, async () => {
    const { client, router } = await setup()
    const tokens = () => router.metric('vllm_router_tokens_total', { model, kind: 'completion' })
    const before = (await tokens()) ?? 0
    for (const include_usage of [true, false]) {
      const request = { model, messages, max_tokens: 7, stream: true as const }
      const chunks = await client.chat.completions.create({ ...request, stream_options: { include_usage } })
      const usages: unknown[] = []
      for await (const { usage, choices } of chunks) if (choices.length === 0) usages.push(usage)
      assert.equal(usages.length, include_usage ? 1 : 0)
      if (include_usage) assert.equal((usages[0] as { completion_tokens: number }).completion_tokens, 7)
    }
    // The second is an estimate, which is right where each event is a token.
    await eventually(async () => ((await tokens()) ?? 0) === before + 7 + 7, { what: 'usage in the metrics' })
    const estimated = await router.metric('vllm_router_estimated_tokens_total', { model })
    assert.ok((estimated ?? 0) >= 7)
  })

  test('gets embeddings as numbers and as base64 with the same values', { timeout }, async () => {
    const { client } = await setup()
    const request = { model, input: ['one', 'two'] }
    const float = await client.embeddings.create({ ...request, encoding_format: 'float' })
    // Unless told, the client asks for base64 and decodes it.
    const decoded = await client.embeddings.create(request)
    assert.equal(float.data.length, 2)
    for (const [index, { embedding }] of float.data.entries()) {
      const other = decoded.data[index]?.embedding
      assert.deepEqual(Array.from(other ?? []), embedding)
    }
    const raw = await client.embeddings.create({ ...request, encoding_format: 'base64' })
    assert.equal(typeof (raw.data[0]?.embedding as unknown), 'string')
  })

  test('gets responses, plain and streamed', { timeout }, async () => {
    const { client } = await setup()
    const request = { model, input: 'Say something', max_output_tokens: 6 }
    const plain = await client.responses.create(request)
    assert.ok(plain.output_text.length > 6)
    const types: string[] = []
    let text = ''
    for await (const event of await client.responses.create({ ...request, stream: true })) {
      types.push(event.type)
      if (event.type === 'response.output_text.delta') text += event.delta
    }
    assert.equal(text, plain.output_text)
    assert.equal(types[0], 'response.created')
    assert.match(types.at(-1) ?? '', /^response\.(completed|incomplete)$/)
  })
})

describe('errors reach the OpenAI client as errors', () => {
  test('a model that nobody serves', { timeout }, async () => {
    const { client } = await setup()
    await assert.rejects(client.chat.completions.create({ model: 'gpt-17', messages }), (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError)
      assert.deepEqual(
        [error.status, error.code, error.param, error.type],
        [404, 'model_not_found', 'model', 'invalid_request_error'],
      )
      assert.match(error.requestID ?? '', /^[0-9a-f-]{36}$/)
      return true
    })
  })

  test("a worker's own 400, word for word", { timeout }, async (t) => {
    const { client, worker } = await setup()
    const error = {
      message: "This model's maximum context length is 8 tokens.",
      type: 'BadRequestError',
      param: null,
      code: 400,
    }
    worker.use(answer(400, JSON.stringify({ error })))
    t.after(() => worker.use(undefined))
    await assert.rejects(
      client.chat.completions.create({ model: scripted, messages, stream: true }),
      (raised) => {
        assert.ok(raised instanceof OpenAI.BadRequestError)
        assert.deepEqual(raised.error, error)
        return true
      },
    )
  })

  test('a stream that its worker breaks off', { timeout }, async (t) => {
    const { client, worker } = await setup()
    worker.use(closeMidStream(3))
    t.after(() => worker.use(undefined))
    const stream = await client.chat.completions.create({ model: scripted, messages, stream: true })
    let text = ''
    await assert.rejects(
      async () => {
        for await (const { choices } of stream) text += choices[0]?.delta.content ?? ''
      },
      (error) => error instanceof OpenAI.APIError && error.code === 'worker_lost',
    )
    assert.equal(text, [0, 1, 2].map(tokenText).join(''))
  })
})

test('an OpenAI client that leaves in the middle frees the worker at once', { timeout }, async () => {
  const { client, worker, router } = await setup()
  const took: number[] = []
  for (const how of ['break', 'abort', 'break', 'abort', 'break']) {
    const seen = worker.requests.length
    const stream = await client.chat.completions.create({ model: scripted, messages, stream: true })
    const request = await within(5000, worker.received(seen + 1), 'the request at the worker')
    let events = 0
    let leftAt = 0
    for await (const _chunk of stream) {
      if (++events < 3) continue
      leftAt = performance.now()
      if (how === 'break') break
      stream.controller.abort()
    }
    const closed = await within(5000, request.connection.peerClosed, "the end of the worker's connection")
    took.push(closed.at - leftAt)
    assert.equal(request.completedAt, undefined)
  }
  // The median: a busy machine may be late once.
  const median = took.sort((a, b) => a - b)[2] ?? 0
  assert.ok(median < 100, `the worker saw it after ${took.map(Math.round)} ms`)
  await eventually(async () => (await router.metric('vllm_router_running_requests')) === 0, {
    what: 'no request in flight',
  })
  assert.equal(await router.metric('vllm_router_streams_ended_total', { reason: 'client_closed' }), 5)
  assert.equal(
    await router.metric('vllm_router_cb_outcomes_total', { worker: worker.url, outcome: 'neutral' }),
    5,
  )
})
