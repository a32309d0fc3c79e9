/** Who collects traces is down, refuses them or never answers: requests do not notice, and the router stops in time. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually, within } from '../support/deadline.ts'
import { startOtlpReceiver } from '../support/otlp-receiver.ts'
import { openConnection } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { closedPort } from '../support/sockets.ts'
import { chat, chatPath } from '../support/traced-router.ts'

const timeout = 60_000
/** More than wait for the receiver at most. */
const many = 1500
/** Milliseconds from the order to the end: 2 s for the last spans, at most one more for a request under way. */
const stopsWithinMs = 4000

async function start(t: Scope, endpoint: string) {
  const worker = await startScriptedWorker(undefined, { t })
  const args = ['--otlp-traces-endpoint', endpoint, '--shutdown-settle-secs', '0']
  const router = await routerOver([worker], { t, args })
  const said = (msg: string) => router.logs().filter((line) => line.msg === msg)
  const askAll = async (requests = many) => {
    const connections = Array.from({ length: 10 }, () => openConnection({ port: router.apiPort }))
    const times: number[] = []
    await Promise.all(
      connections.map(async (connection) => {
        for (let sent = 0; sent < requests / connections.length; sent++) {
          const exchange = connection.request({ path: chatPath, json: chat })
          const { status } = await within(5000, exchange.text(), 'an answer')
          assert.equal(status, 200)
          times.push((exchange.endedAt ?? Number.NaN) - exchange.sentAt)
        }
        connection.abort()
      }),
    )
    return times.sort((a, b) => a - b)
  }
  const stop = async () => {
    const before = performance.now()
    const exit = await router.stop('SIGTERM')
    return { exit, ms: performance.now() - before }
  }
  return { router, said, askAll, stop }
}

describe('a receiver of traces', () => {
  test('that hangs holds up no request and not the end, and is told of once', { timeout }, async (t) => {
    const receiver = await startOtlpReceiver(t)
    receiver.behave('hang')
    const { askAll, said, stop } = await start(t, receiver.url)
    const times = await askAll()
    assert.ok(times.at(-1)! < 1000, `the slowest took ${times.at(-1)} ms`)
    await eventually(() => said('traces do not arrive').length > 0, { what: 'the warning', withinMs: 10_000 })
    await eventually(() => receiver.posts.length > 1, { what: 'another batch', withinMs: 10_000 })
    const { exit, ms } = await stop()
    assert.equal(exit.code, 0)
    assert.ok(ms < stopsWithinMs, `${ms} ms`)
    assert.equal(said('traces do not arrive').length, 1)
  })

  test('that is down is the same', { timeout }, async (t) => {
    const { port, release } = await closedPort()
    t.after(release)
    const { askAll, said, stop } = await start(t, `http://127.0.0.1:${port}`)
    const times = await askAll()
    assert.ok(times.at(-1)! < 1000, `the slowest took ${times.at(-1)} ms`)
    await eventually(() => said('traces do not arrive').length > 0, { what: 'the warning', withinMs: 10_000 })
    const [warning] = said('traces do not arrive')
    assert.equal(warning?.endpoint, `http://127.0.0.1:${port}/v1/traces`)
    assert.match(String(warning?.reason), /ECONNREFUSED/)
    const { exit, ms } = await stop()
    assert.equal(exit.code, 0)
    assert.ok(ms < stopsWithinMs, `${ms} ms`)
    assert.equal(said('traces do not arrive').length, 1)
  })

  test('that refuses gets later spans all the same; that they arrive again is said', {
    timeout,
  }, async (t) => {
    const receiver = await startOtlpReceiver(t)
    receiver.behave('refuse')
    const { router, said, stop } = await start(t, receiver.url)
    const ask = async () => {
      const connection = openConnection({ port: router.apiPort })
      await within(5000, connection.request({ path: chatPath, json: chat }).text(), 'an answer')
      connection.abort()
    }
    await ask()
    await eventually(() => said('traces do not arrive').length > 0, { what: 'the warning', withinMs: 10_000 })
    receiver.behave('well')
    await ask()
    assert.equal((await receiver.first(2)).length, 2)
    await eventually(() => said('traces arrive again').length > 0, { what: 'the line', withinMs: 10_000 })
    assert.equal(said('traces arrive again')[0]?.lost_spans, 2)
    const dropped = (reason: string) => router.metric('vllm_router_trace_spans_dropped_total', { reason })
    assert.deepEqual([await dropped('not_delivered'), await dropped('queue_full')], [2, 0])
    await stop()
  })

  test('gets the last spans when the router stops', { timeout }, async (t) => {
    const receiver = await startOtlpReceiver(t)
    const { askAll, stop } = await start(t, receiver.url)
    await askAll(200)
    const { ms } = await stop()
    assert.ok(ms < stopsWithinMs, `${ms} ms`)
    assert.equal(receiver.spans.length, 400)
  })
})
