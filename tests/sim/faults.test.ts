/** Every fault of the simulated server breaks the answer at the byte it names. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FaultPoint } from '../../sim/fault.ts'
import { eventually, pause, within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { ending, json, messages, path, sim } from '../support/sim-ending.ts'

/** The last event before each break in a stream of four tokens, by point. */
const points: [FaultPoint, number, boolean][] = [
  ['before-head', 0, false],
  ['after-head', 0, true],
  ['after-role', 1, true],
  ['after-tokens', 3, true],
  ['mid-event', 3, true],
]

for (const kind of ['reset', 'close'] as const) {
  for (const [at, events, hasHead] of points) {
    test(`${kind} ${at} sends what comes before and then ${kind === 'reset' ? 'RST' : 'FIN'}`, async (t) => {
      const server = await sim(t, { tokenMs: 2 })
      server.setFault({ kind, at, tokens: 2 })
      const { status, text, complete, how, data } = await ending(server.port)
      assert.equal(how, kind === 'reset' ? 'reset' : 'fin')
      assert.equal(complete, false)
      assert.equal(status, hasHead ? 200 : undefined)
      assert.equal(data.length, events)
      const rest = text.slice(text.lastIndexOf('\n\n') + 2)
      if (at === 'mid-event') assert.match(rest, /^data: \{"id":"chatcmpl-/)
      else assert.equal(rest, '')
      const { faulted, aborted, running } = server.stats()
      assert.deepEqual([faulted, aborted, running], [1, 0, 0])
    })
  }

  test(`${kind} in a plain answer leaves half of its body`, async (t) => {
    const server = await sim(t)
    const plain = { messages, max_tokens: 4 }
    const whole = await ending(server.port, plain, { 'x-request-id': 'same' })
    const headers = { 'x-request-id': 'same', 'x-sim-fault': `${kind}:after-tokens` }
    const { text, complete, status } = await ending(server.port, plain, headers)
    assert.deepEqual([status, complete], [200, false])
    assert.equal(text, whole.text.slice(0, text.length))
    assert.equal(text.length, whole.text.length >> 1)
  })
}

test('a reset in a burst comes after the bytes before it', async (t) => {
  const server = await sim(t)
  server.setFault('reset:mid-event:3')
  const { data, how } = await ending(server.port)
  assert.deepEqual([data.length, how], [4, 'reset'])
})

for (const [at, events] of points) {
  test(`hang ${at} keeps the connection open until the client leaves`, async (t) => {
    const server = await sim(t, { tokenMs: 2 })
    server.setFault({ kind: 'hang', at, tokens: 2 })
    const exchange = rawRequest({ port: server.port, path, json })
    await eventually(() => server.stats().received === 1 && exchange.events.length === events, {
      what: 'the hang',
    })
    await pause(30)
    assert.equal(exchange.endedAt, undefined)
    assert.equal(exchange.events.length, events)
    exchange.abort()
    await eventually(() => server.stats().aborted === 1, { what: 'the abort is seen' })
    assert.equal(server.stats().running, 0)
  })
}

test('a delay holds the break back', async (t) => {
  const server = await sim(t)
  server.setFault({ kind: 'reset', at: 'after-head', delayMs: 60 })
  const exchange = rawRequest({ port: server.port, path, json })
  await within(5000, exchange.head, 'the head')
  const { at } = await within(5000, exchange.connection.closed, 'the close')
  assert.ok(at - exchange.sentAt >= 59)
})

describe('a stream that lies', () => {
  test('no-done ends cleanly without finish reason, usage and [DONE]', async (t) => {
    const server = await sim(t)
    server.setFault('no-done')
    const { complete, data, text } = await ending(server.port, {
      ...json,
      stream_options: { include_usage: true },
    })
    assert.ok(complete)
    assert.equal(data.length, 5)
    assert.ok(!/\[DONE\]|"length"|usage/.test(text))
  })

  for (const tokens of [0, 2]) {
    test(`error-event after ${tokens} tokens is vLLM's error and [DONE], cleanly ended`, async (t) => {
      const server = await sim(t)
      server.setFault({ kind: 'error-event', tokens })
      const { complete, data, status } = await ending(server.port)
      assert.deepEqual([complete, status], [true, 200])
      assert.equal(data.length, tokens === 0 ? 2 : 1 + tokens + 2)
      const error = {
        message: 'EngineCore encountered an issue',
        type: 'InternalServerError',
        param: null,
        code: 500,
      }
      assert.deepEqual(JSON.parse(data.at(-2) ?? ''), { error })
      assert.equal(data.at(-1), '[DONE]')
      const plain = await ending(server.port, { messages })
      assert.equal(plain.status, 500)
    })
  }

  test('error-event has the shape of the API it is in', async (t) => {
    const { port } = await sim(t)
    const headers = { 'x-sim-fault': 'error-event:1' }
    for (const [where, body] of [
      ['/v1/messages', { messages, max_tokens: 2, stream: true }],
      ['/v1/responses', { input: 'a', stream: true }],
    ] as const) {
      const exchange = rawRequest({ port, path: where, json: body, headers })
      await within(5000, exchange.body, 'the end')
      assert.equal(exchange.events.at(-1)?.event, 'error')
      assert.equal(JSON.parse(exchange.events.at(-1)?.data ?? '').type, 'error')
    }
  })
})
