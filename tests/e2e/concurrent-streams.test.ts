/** A thousand streams at once through one router process: all of them run, none waits in a hidden queue. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually, within } from '../support/deadline.ts'
import { type RawExchange, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { shared } from '../support/shared.ts'
import { chunk, completed, lastChunk, streamHead, until } from '../support/wire.ts'

const timeout = 60_000
const streams = 1000
const path = '/v1/chat/completions'

/** Held by the workers, first before they say anything, then after the first token; the tests let them go on. */
const setup = shared(async (t) => {
  const begin = Promise.withResolvers<void>()
  const finish = Promise.withResolvers<void>()
  const workers: ScriptedWorker[] = []
  for (let index = 0; index < 4; index++) {
    const worker = await startScriptedWorker(undefined, { t })
    worker.use((request) => {
      const { prelude, tokens, finish: end } = worker.answerTo(request)
      const [first = '', ...rest] = tokens
      return [
        until(begin.promise),
        streamHead(),
        ...[...prelude, first].map(chunk),
        until(finish.promise),
        ...[...rest, ...end].map(chunk),
        lastChunk,
        completed,
      ]
    })
    workers.push(worker)
  }
  const router = await routerOver(workers, { t })
  const json = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }], stream: true }
  const exchanges = Array.from({ length: streams }, (_, index) =>
    rawRequest({ port: router.apiPort, path, json, headers: { 'x-request-id': `stream-${index}` } }),
  )
  t.after(() => {
    for (const exchange of exchanges) exchange.abort()
  })
  return { workers, router, exchanges, begin: begin.resolve, finish: finish.resolve }
})

const arrived = (workers: readonly ScriptedWorker[]): number =>
  workers.reduce((sum, { requests }) => sum + requests.length, 0)
const withEvents = (exchanges: readonly RawExchange[]): number =>
  exchanges.filter(({ events }) => events.length > 0).length

describe('1,000 concurrent streams', () => {
  test('all reach the workers before any of them is answered', { timeout }, async () => {
    const { workers, router, exchanges } = await setup()
    await eventually(() => arrived(workers) === streams, { what: `${streams} requests`, withinMs: 20_000 })
    assert.ok(workers.every(({ requests }) => requests.length === streams / workers.length))
    assert.equal(await router.metric('vllm_router_running_requests'), streams)
    assert.equal(withEvents(exchanges), 0)
    assert.ok(exchanges.every(({ firstByteAt }) => firstByteAt === undefined))
  })

  test('all run at the same time', { timeout }, async () => {
    const { router, exchanges, begin } = await setup()
    begin()
    await eventually(() => withEvents(exchanges) === streams, {
      what: 'a first token for all',
      withinMs: 20_000,
    })
    assert.ok(exchanges.every(({ endedAt }) => endedAt === undefined))
    assert.equal(await router.metric('vllm_router_running_requests'), streams)
  })

  test('all complete, each with its own answer', { timeout }, async () => {
    const { workers, router, exchanges, finish } = await setup()
    finish()
    const bodies = Promise.all(exchanges.map(({ body }) => body))
    for (const [index, { complete, bytes }] of (await within(20_000, bodies, 'all ends')).entries()) {
      assert.ok(complete)
      assert.ok(bytes.includes(`chatcmpl-stream-${index}"`))
      assert.equal(exchanges[index]?.events.at(-1)?.data, '[DONE]')
    }
    for (const { completed: done } of workers) assert.ok([...done.values()].every((times) => times === 1))
    await eventually(async () => (await router.metric('vllm_router_running_requests')) === 0, {
      what: 'no request in flight',
    })
    assert.equal(await router.metric('vllm_router_streams_ended_total', { reason: 'completed' }), streams)
    assert.equal(await router.metric('vllm_router_cb_outcomes_total', { outcome: 'success' }), streams)
  })
})
