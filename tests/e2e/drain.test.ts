/** SIGTERM: out of the load balancer first, then no more requests, then the end of what runs, and only then the end. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually, within } from '../support/deadline.ts'
import { holdStreams } from '../support/held-stream.ts'
import { openConnection, type RawRequestOptions, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { answer, hang } from '../support/wire.ts'

const timeout = 30_000
const messages = [{ role: 'user', content: 'hi' }]
const chat = { path: '/v1/chat/completions', json: { model: 'test-model', messages, stream: true } }
const plain = { path: '/v1/completions', json: { model: 'test-model', prompt: 'hi' } }

/** A worker that holds its streams after the first token until the test lets them go, and a router before it. */
async function setup(t: Scope, ...args: string[]) {
  const gate = Promise.withResolvers<void>()
  const worker = await startScriptedWorker(undefined, { t })
  holdStreams(worker, gate.promise)
  const router = await routerOver([worker], { t, args })
  return { worker, router, release: gate.resolve }
}

async function startStream(router: RouterProcess, request: RawRequestOptions = chat, events = 2) {
  const exchange = rawRequest({ port: router.apiPort, ...request })
  await within(5000, exchange.firstEvents(events), 'the first token')
  return exchange
}

async function readiness(port: number): Promise<[status: number, reason: unknown]> {
  const { head, body } = await send(port, { path: '/readiness' }, 1000)
  return [head.status, JSON.parse(body.bytes.toString()).reason]
}

async function untilDraining(router: RouterProcess): Promise<void> {
  await eventually(async () => (await readiness(router.operationsPort))[0] === 503, {
    what: 'a readiness that says no',
    withinMs: 1000,
  })
}

describe('after SIGTERM', () => {
  test('readiness says no, requests are still taken, and then what runs may finish', {
    timeout,
  }, async (t) => {
    const { router, release } = await setup(t, '--shutdown-settle-secs', '2', '--shutdown-grace-secs', '20')
    const stream = await startStream(router)
    const kept = openConnection({ port: router.apiPort })
    t.after(() => kept.abort())
    assert.equal((await kept.request(plain).text()).status, 200)
    const orderedAt = performance.now()
    router.signal('SIGTERM')

    await untilDraining(router)
    for (const port of [router.apiPort, router.operationsPort])
      assert.deepEqual(await readiness(port), [503, 'draining'])
    assert.equal((await send(router.apiPort, { path: '/liveness' })).head.status, 200)
    assert.equal((await send(router.apiPort, plain)).head.status, 200)
    assert.equal((await kept.request(plain).text()).status, 200)
    const late = await startStream(router)
    assert.ok(performance.now() - orderedAt < 2000, 'all of that within the settle time')

    await eventually(() => refused(router.apiPort), { what: 'a port that is closed' })
    assert.ok(performance.now() - orderedAt >= 1950)
    await within(2000, noMoreOn(kept), 'an end of the kept-alive connection')
    assert.equal((await send(router.operationsPort, { path: '/metrics' })).head.status, 200)
    assert.equal(await router.metric('vllm_router_running_requests'), 2)
    for (const { endedAt } of [stream, late]) assert.equal(endedAt, undefined)

    release()
    for (const exchange of [stream, late]) {
      const { complete } = await within(5000, exchange.body, 'the end of a stream')
      assert.ok(complete)
      assert.equal(exchange.events.at(-1)?.data, '[DONE]')
    }
    assert.deepEqual(await within(5000, router.exited, 'the end of the router'), { code: 0, signal: null })
    assert.equal(router.logs().at(-1)?.msg, 'stopped')
    assert.equal(router.stderr(), '')
  })

  test('what still runs at the end of the grace time is told so', { timeout }, async (t) => {
    const { worker, router } = await setup(t, '--shutdown-settle-secs', '0', '--shutdown-grace-secs', '1')
    const anthropic = {
      path: '/v1/messages',
      json: { model: 'test-model', messages, max_tokens: 9, stream: true },
    }
    const responses = { path: '/v1/responses', json: { model: 'test-model', input: 'hi', stream: true } }
    const streams = [
      await startStream(router, chat, 2),
      await startStream(router, anthropic, 3),
      await startStream(router, responses, 5),
    ]
    worker.use([hang])
    const waiting = rawRequest({ port: router.apiPort, ...plain })
    await within(5000, worker.received(4), 'a plain request at the worker')
    const orderedAt = performance.now()
    router.signal('SIGTERM')
    const bodies = await within(5000, Promise.all(streams.map(({ body }) => body)), 'the ends')
    assert.ok(performance.now() - orderedAt >= 950)
    assert.ok(bodies.every(({ complete }) => complete))

    const [openai, messageEvent, response] = streams.map(({ events }) => events.at(-1))
    const { error } = JSON.parse(openai?.data ?? '{}')
    assert.deepEqual([error.code, error.type, error.param], ['draining', 'upstream_error', null])
    assert.equal(messageEvent?.event, 'error')
    assert.equal(JSON.parse(messageEvent?.data ?? '{}').type, 'error')
    assert.equal(response?.event, 'response.failed')
    assert.equal(JSON.parse(response?.data ?? '{}').response.error.code, 'draining')

    const { status, text } = await within(2000, waiting.text(), 'an answer to the plain request')
    assert.deepEqual([status, JSON.parse(text).error.code], [503, 'draining'])
    const { code } = await within(5000, router.exited, 'the end of the router')
    assert.equal(code, 0)
    for (const request of worker.requests)
      await within(1000, request.connection.peerClosed, "the end of the worker's connection")
  })

  test('a second signal stops it at once', { timeout }, async (t) => {
    const { router } = await setup(t, '--shutdown-settle-secs', '0', '--shutdown-grace-secs', '60')
    const stream = await startStream(router)
    router.signal('SIGTERM')
    await untilDraining(router)
    router.signal('SIGTERM')
    const { code } = await within(2000, router.exited, 'the end of the router')
    assert.equal(code, 1)
    assert.equal((await stream.body).complete, false)
    assert.match(JSON.stringify(router.logs()), /second signal/)
  })

  test('an idle router ends as soon as the settle time is over', { timeout }, async (t) => {
    const { worker, router } = await setup(t, '--shutdown-settle-secs', '0')
    worker.use(answer(200, '{}'))
    assert.equal((await send(router.apiPort, plain)).head.status, 200)
    // A connection that is open and idle must not hold it up.
    const idle = openConnection({ port: router.apiPort })
    await within(2000, idle.opened, 'a connection')
    assert.equal((await idle.request(plain).text()).status, 200)
    const { code } = await router.stop('SIGTERM', 2000)
    assert.equal(code, 0)
    await within(2000, idle.closed, 'the end of the idle connection')
  })
})

/** Whether nobody listens there any more. */
async function refused(port: number): Promise<boolean> {
  const connection = openConnection({ port })
  const open = await connection.opened.then(
    () => true,
    () => false,
  )
  connection.abort()
  return !open
}

/** Settles when a kept-alive connection is closed, or answers a further request with 503. */
async function noMoreOn(connection: ReturnType<typeof openConnection>): Promise<void> {
  const refusal = connection
    .request(plain)
    .text()
    .then(({ status, text }) => assert.deepEqual([status, JSON.parse(text).error.code], [503, 'draining']))
  await Promise.race([connection.closed, refusal])
}
