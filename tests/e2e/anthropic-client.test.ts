/** The official Anthropic client on `/v1/messages`. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { startFleet } from '../../sim/fleet.ts'
import { tokenText } from '../support/answers.ts'
import { eventually, within } from '../support/deadline.ts'
import { closeMidStream, errorEventMidStream } from '../support/faults.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { shared } from '../support/shared.ts'
import { answer } from '../support/wire.ts'

const timeout = 30_000
const model = 'facebook/opt-350m'
const scripted = 'scripted-model'
const messages = [{ role: 'user' as const, content: 'Say something' }]

const setup = shared(async (t) => {
  const fleet = await startFleet({ size: 2, tokenMs: 1 })
  t.after(() => fleet.close())
  const worker = await startScriptedWorker(undefined, { t, model: scripted, tokens: 200, tokenMs: 10 })
  const router = await routerOver([...fleet.workers, worker], { t })
  const client = new Anthropic({ baseURL: router.api, apiKey: 'unused', maxRetries: 0, timeout: 10_000 })
  return { worker, router, client }
})

describe('the Anthropic client', () => {
  test('gets messages, plain and streamed, with the same text', { timeout }, async () => {
    const { client } = await setup()
    const request = { model, messages, max_tokens: 8, system: 'You are terse.' }
    const plain = await client.messages.create(request)
    assert.deepEqual([plain.type, plain.role, plain.usage.output_tokens], ['message', 'assistant', 8])
    const types: string[] = []
    const stream = client.messages.stream(request).on('streamEvent', ({ type }) => types.push(type))
    const final = await stream.finalMessage()
    assert.deepEqual(final.content.map(textOf), plain.content.map(textOf))
    assert.ok((final.content.map(textOf)[0] ?? '').length > 8)
    assert.deepEqual([types[0], types.at(-1)], ['message_start', 'message_stop'])
    assert.equal(types.filter((type) => type === 'content_block_delta').length, 8)
  })

  test('counts tokens', { timeout }, async () => {
    const { client } = await setup()
    const long = [{ role: 'user' as const, content: 'x'.repeat(400) }]
    assert.equal((await client.messages.countTokens({ model, messages: long })).input_tokens, 100)
  })

  test('may leave in the middle', { timeout }, async () => {
    const { client, worker, router } = await setup()
    const seen = worker.requests.length
    const stream = await client.messages.create({ model: scripted, messages, max_tokens: 200, stream: true })
    const request = await within(5000, worker.received(seen + 1), 'the request at the worker')
    let events = 0
    for await (const _event of stream) if (++events === 5) break
    await within(1000, request.connection.peerClosed, "the end of the worker's connection")
    await eventually(async () => (await router.metric('vllm_router_running_requests')) === 0, {
      what: 'no request in flight',
    })
  })
})

describe('errors reach the Anthropic client in its own shape', () => {
  test('a model that nobody serves', { timeout }, async () => {
    const { client } = await setup()
    await assert.rejects(client.messages.create({ model: 'claude-17', messages, max_tokens: 1 }), (error) => {
      assert.ok(error instanceof Anthropic.NotFoundError)
      const { type, error: inner } = error.error as { type: string; error: Record<string, unknown> }
      assert.deepEqual([type, inner.type, inner.code], ['error', 'not_found_error', 'model_not_found'])
      return true
    })
  })

  test('a request that is wrong', { timeout }, async () => {
    const { client } = await setup()
    const wrong = { model, messages: 'hello' as unknown as typeof messages, max_tokens: 1 }
    for (const call of [() => client.messages.create(wrong), () => client.messages.countTokens(wrong)]) {
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof Anthropic.BadRequestError)
        assert.match(error.message, /invalid_request_error.*messages/)
        return true
      })
    }
  })

  test("a worker's own error, word for word", { timeout }, async (t) => {
    const { client, worker } = await setup()
    const body = {
      type: 'error',
      error: { type: 'invalid_request_error', message: 'max_tokens is too large' },
    }
    worker.use(answer(400, JSON.stringify(body)))
    t.after(() => worker.use(undefined))
    await assert.rejects(client.messages.create({ model: scripted, messages, max_tokens: 9999 }), (error) => {
      assert.ok(error instanceof Anthropic.BadRequestError)
      assert.deepEqual(error.error, body)
      return true
    })
  })

  for (const [what, fault, code] of [
    ['a stream that its worker breaks off', closeMidStream(3), 'worker_lost'],
    ['an error that the worker reports in its stream', errorEventMidStream(3), undefined],
  ] as const) {
    test(what, { timeout }, async (t) => {
      const { client, worker } = await setup()
      worker.use(fault)
      t.after(() => worker.use(undefined))
      const stream = await client.messages.create({ model: scripted, messages, max_tokens: 9, stream: true })
      let text = ''
      const reading = async (): Promise<void> => {
        for await (const event of stream) {
          if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
            text += event.delta.text
        }
      }
      await assert.rejects(reading, (error) => {
        assert.ok(error instanceof Anthropic.APIError)
        const { type, error: inner } = error.error as { type: string; error: Record<string, unknown> }
        assert.deepEqual([type, inner.code], ['error', code])
        return true
      })
      assert.equal(text, [0, 1, 2].map(tokenText).join(''))
    })
  }
})

function textOf(block: Anthropic.ContentBlock): string | undefined {
  return block.type === 'text' ? block.text : undefined
}
