/** The cap on requests in flight, and the waiting room behind it. */

import assert from 'node:assert/strict'
import { afterEach, describe, test } from 'node:test'
import { eventually, pause, within } from '../support/deadline.ts'
import { metricValue } from '../support/metrics.ts'
import { type RawExchange, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send, sendAll } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { answer, chunk, completed, lastChunk, type Step, streamHead, until, wait } from '../support/wire.ts'

const timeout = 30_000
const path = '/v1/completions'
const cap = 3
const queueSize = 2
const queueSeconds = 1

/** A worker that holds each request until it is let go by its id. */
const setup = shared(async (t) => {
  const gates = new Map<string, PromiseWithResolvers<void>>()
  const gate = (id: string): PromiseWithResolvers<void> => {
    const known = gates.get(id) ?? Promise.withResolvers<void>()
    gates.set(id, known)
    return known
  }
  const worker = await startScriptedWorker(
    (request): Step[] => {
      const held = until(gate(request.header('x-request-id') ?? '').promise)
      if (!request.stream) return [held, ...answer(200, '{}')]
      const events = [
        'data: {"choices":[{"index":0,"text":"a","finish_reason":"stop"}]}\n\n',
        'data: [DONE]\n\n',
      ]
      return [streamHead(), chunk(events[0] ?? ''), held, chunk(events[1] ?? ''), lastChunk, completed]
    },
    { t },
  )
  const args = [
    '--max-concurrent-requests',
    cap,
    '--queue-size',
    queueSize,
    '--queue-timeout-secs',
    queueSeconds,
  ]
  const router = await routerOver([worker], { t, args: args.map(String) })
  return { worker, router, release: (id: string) => gate(id).resolve() }
})

let ids = 0
const sent: { readonly id: string; readonly exchange: RawExchange }[] = []

async function ask(stream = false): Promise<{ readonly id: string; readonly exchange: RawExchange }> {
  const { router } = await setup()
  const id = `request-${ids++}`
  const json = { model: 'test-model', prompt: 'hi', stream }
  const exchange = rawRequest({ port: router.apiPort, path, json, headers: { 'x-request-id': id } })
  const one = { id, exchange }
  sent.push(one)
  return one
}

const atWorker = async (): Promise<string[]> =>
  (await setup()).worker.requests.map((request) => request.header('x-request-id') ?? '')

async function reaches(id: string): Promise<void> {
  await eventually(async () => (await atWorker()).includes(id), { what: `${id} at the worker` })
}

async function waiting(count: number): Promise<void> {
  const { router } = await setup()
  await eventually(async () => (await router.metric('vllm_router_queue_depth')) === count, {
    what: `${count} in the queue`,
  })
}

/** So many requests at the worker, and as many more in the queue, in order. */
async function fill(inQueue: number): Promise<{ readonly id: string; readonly exchange: RawExchange }[]> {
  const all = []
  for (let index = 0; index < cap; index++) {
    const one = await ask(index === 0)
    all.push(one)
    await reaches(one.id)
  }
  for (let index = 1; index <= inQueue; index++) {
    all.push(await ask())
    await waiting(index)
  }
  return all
}

describe('with --max-concurrent-requests', () => {
  afterEach(async () => {
    const { router, release } = await setup()
    for (const { id } of sent) release(id)
    for (const { id, exchange } of sent.splice(0)) await within(3000, exchange.body, `the end of ${id}`)
    await eventually(async () => (await router.metric('vllm_router_running_requests')) === 0, {
      what: 'nothing in flight',
    })
    assert.equal(await router.metric('vllm_router_queue_depth'), 0)
  })

  test('the worker never has more, others wait, and get their turn in order', { timeout }, async () => {
    const { release } = await setup()
    const [first, second, third, fourth, fifth] = await fill(2)
    const inOrder = [first, second, third, fourth, fifth].map((one) => one?.id ?? '')
    assert.deepEqual(await atWorker(), inOrder.slice(0, 3))
    // The second to come is the first to go; the first in the queue takes its place.
    release(inOrder[1] ?? '')
    await reaches(inOrder[3] ?? '')
    assert.deepEqual(await atWorker(), inOrder.slice(0, 4))
    release(inOrder[2] ?? '')
    await reaches(inOrder[4] ?? '')
    for (const id of inOrder) release(id)
    for (const one of [first, second, third, fourth, fifth]) {
      const { status } = await within(3000, one?.exchange.text() ?? Promise.reject(), 'an answer')
      assert.equal(status, 200)
    }
  })

  test('a stream holds its place to the last byte', { timeout }, async () => {
    const { release } = await setup()
    const [stream, , , queued] = await fill(1)
    assert.ok(stream !== undefined && queued !== undefined)
    await within(2000, stream.exchange.firstEvents(1), 'the first event')
    await pause(50)
    assert.ok(!(await atWorker()).includes(queued.id))
    release(stream.id)
    await reaches(queued.id)
  })

  test('a full queue gives 429 with Retry-After, at once', { timeout }, async () => {
    const { router } = await setup()
    await fill(queueSize)
    const { head, body } = await send(
      router.apiPort,
      { path, json: { model: 'test-model', prompt: 'hi' } },
      500,
    )
    assert.equal(head.status, 429)
    assert.ok(Number(head.header('retry-after')) >= 1)
    const { error } = JSON.parse(body.bytes.toString())
    assert.deepEqual([error.code, error.type], ['queue_full', 'rate_limit_error'])
    const messages = { model: 'test-model', max_tokens: 1, messages: [{ role: 'user', content: 'hi' }] }
    const anthropic = await send(router.apiPort, { path: '/v1/messages', json: messages })
    assert.deepEqual(
      [anthropic.head.status, JSON.parse(anthropic.body.bytes.toString()).type],
      [429, 'error'],
    )
    assert.equal(await router.metric('vllm_router_rejected_total', { reason: 'queue_full' }), 2)
    assert.equal(await router.metric('vllm_router_request_errors_total', { error_type: 'queue_full' }), 2)
  })

  test('probes, models and metrics are answered while it is full', { timeout }, async () => {
    const { router } = await setup()
    await fill(queueSize)
    for (const probe of ['/health', '/liveness', '/readiness', '/v1/models'])
      assert.equal((await send(router.apiPort, { path: probe })).head.status, 200, probe)
    assert.equal((await send(router.operationsPort, { path: '/list_workers' })).head.status, 200)
  })

  test('waiting too long gives 408 with Retry-After', { timeout }, async () => {
    const { router } = await setup()
    const [, , , queued] = await fill(1)
    assert.ok(queued !== undefined)
    const { status, text } = await within(5000, queued.exchange.text(), 'the end of the wait')
    const waited = (queued.exchange.endedAt ?? 0) - queued.exchange.sentAt
    assert.equal(status, 408)
    assert.ok(waited >= queueSeconds * 1000 - 20 && waited < queueSeconds * 1000 + 1000, `${waited} ms`)
    assert.ok(Number((await queued.exchange.head).header('retry-after')) >= 1)
    assert.equal(JSON.parse(text).error.code, 'queue_timeout')
    assert.ok(!(await atWorker()).includes(queued.id))
    assert.equal(await router.metric('vllm_router_rejected_total', { reason: 'queue_timeout' }), 1)
  })

  test('one who leaves the queue makes room at once, and never reaches the worker', { timeout }, async () => {
    const { router, release } = await setup()
    const [, , , first, second] = await fill(2)
    assert.ok(first !== undefined && second !== undefined)
    first.exchange.abort()
    await waiting(1)
    const third = await ask()
    await waiting(2)
    for (const { id } of sent) if (id !== first.id) release(id)
    for (const { exchange } of [second, third])
      assert.equal((await within(3000, exchange.text(), 'an answer')).status, 200)
    assert.ok(!(await atWorker()).includes(first.id))
    assert.equal(await router.metric('vllm_router_rejected_total', { reason: 'client_closed' }), 1)
  })
})

test('300 requests at once never are more than the cap at the workers', { timeout }, async (t) => {
  let now = 0
  let most = 0
  const enter: Step = () => {
    most = Math.max(most, ++now)
  }
  const leave: Step = () => {
    now--
  }
  const script = [enter, wait(2), leave, ...answer(200, '{}')]
  const workers = await Promise.all([1, 2].map(() => startScriptedWorker(script, { t })))
  const args = ['--max-concurrent-requests', '7', '--queue-size', '300']
  const router: RouterProcess = await routerOver(workers, { t, args })
  const requests = Array.from({ length: 300 }, () => ({ path, json: { model: 'test-model', prompt: 'hi' } }))
  const answers = await sendAll(requests, { port: router.apiPort, connections: 300 })
  assert.ok(answers.every(({ head }) => head.status === 200))
  assert.equal(most, 7)
  const metrics = await router.metrics()
  assert.equal(metricValue(metrics, 'vllm_router_queue_depth'), 0)
  assert.equal(metricValue(metrics, 'vllm_router_requests_total', { route: path, status: 200 }), 300)
})
