/** The simulator answers as a real vLLM did: status, content type, fields, their kinds and order, events. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startSimulatedVllm } from '../../sim/server.ts'
import { eventsOf, fieldsOf, readCapture } from '../support/captures.ts'
import { eventually } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'

const timeout = 30_000

const setup = shared(async (t) => {
  const options = { model: ['tiny', 'tiny-embed', 'tiny2'], maxModelLen: 4096, prefixCache: false }
  const sim = await startSimulatedVllm(options)
  t.after(() => sim.close())
  return sim
})

async function answerTo(name: string) {
  const { method, path, body } = readCapture(name)
  const { port } = await setup()
  const headers = body === undefined ? {} : { 'content-type': 'application/json' }
  const { head, body: bytes } = await send(port, {
    method,
    path,
    headers,
    ...(body !== undefined && { body }),
  })
  return { status: head.status, contentType: head.header('content-type'), text: bytes.bytes.toString() }
}

const plain = [
  'chat-plain',
  'completion-plain',
  'messages-plain',
  'responses-plain',
  'embeddings',
  'models',
  'count-tokens',
  'tokenize',
  'score',
  'rerank',
  'load',
  'error-404-model',
  'error-404-route',
  'error-405',
  'error-400-max-tokens',
  'error-400-bad-json',
  'error-400-type',
]

describe('a plain answer is like the real one:', () => {
  for (const name of plain) {
    test(name, { timeout }, async () => {
      const real = readCapture(name)
      const simulated = await answerTo(name)
      assert.deepEqual(fieldsOf(JSON.parse(simulated.text)), fieldsOf(JSON.parse(real.text)))
      assert.deepEqual([simulated.status, simulated.contentType], [real.status, real.contentType])
    })
  }
})

describe('an answer without a body is like the real one:', () => {
  for (const name of ['health', 'ping']) {
    test(name, { timeout }, async () => {
      const { status, contentType, text } = readCapture(name)
      assert.deepEqual(await answerTo(name), { status, contentType, text })
    })
  }
})

/** What the simulator does otherwise, and why. */
const differences: Readonly<Record<string, (events: string[]) => string[]>> = {
  // Clients of Anthropic's own API get one, and must pass over it; vLLM sends none.
  'messages-stream': (events) => events.filter((event) => !event.startsWith('event: ping')),
  // The real one put all tokens into one event here, for they came faster than they were read; tests count the tokens
  // of the simulator by its events.
  'chat-stream-continuous-usage': (events) => events.toSpliced(1, 1),
}

describe('a stream is like the real one:', () => {
  for (const name of [
    'chat-stream-usage',
    'chat-stream-continuous-usage',
    'completion-stream-usage',
    'messages-stream',
    'responses-stream',
  ]) {
    test(name, { timeout }, async () => {
      const real = readCapture(name)
      const simulated = await answerTo(name)
      const events = eventsOf(simulated.text)
      assert.deepEqual(differences[name]?.(events) ?? events, eventsOf(real.text))
      assert.deepEqual([simulated.status, simulated.contentType], [real.status, real.contentType])
    })
  }
})

describe('an error is worded in the same shape as the real one:', () => {
  test('error-401-no-key', { timeout }, async (t) => {
    const sim = await startSimulatedVllm({ apiKey: 'k', model: 'tiny2' })
    t.after(() => sim.close())
    const real = readCapture('error-401-no-key')
    const { head, body } = await send(sim.port, { path: real.path, json: real.json ?? {} })
    assert.deepEqual([head.status, body.bytes.toString()], [real.status, real.text])
  })

  test('error-503-queue-limit', { timeout }, async (t) => {
    const sim = await startSimulatedVllm({ model: 'tiny2', maxConcurrent: 1, maxQueued: 0, ttftMs: 60_000 })
    t.after(() => sim.close())
    const real = readCapture('error-503-queue-limit')
    const running = rawRequest({ port: sim.port, path: real.path, json: real.json ?? {} })
    await eventually(() => sim.stats().received === 1, { what: 'a request that runs' })
    const { head, body } = await send(sim.port, { path: real.path, json: real.json ?? {} })
    running.abort()
    assert.deepEqual(
      [head.status, head.header('retry-after'), body.bytes.toString()],
      [503, undefined, real.text],
    )
  })
})
