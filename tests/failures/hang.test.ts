/** Workers that do not fail but fall silent: before the connection, before the first token, in the middle of a stream. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { within } from '../support/deadline.ts'
import { startDeafWorker } from '../support/deaf-worker.ts'
import { assertBooks } from '../support/failure-books.ts'
import { acceptAndHang } from '../support/faults.ts'
import { startLagMeter } from '../support/lag-meter.ts'
import { percentile } from '../support/percentile.ts'
import { type RawExchange, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { sendAll } from '../support/send-all.ts'
import { sized } from '../support/soak.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'

/** Milliseconds beyond the limit; the short form runs beside other tests. */
const slackMs = sized(500, 1000)
const warmUps = 100

test('a worker that accepts and hangs: every stream begins within the first-token limit and a little', {
  timeout: 60_000,
}, async (t) => {
  const count = sized(200, 40)
  const hanging = await startScriptedWorker(undefined, { t })
  const healthy = await startScriptedWorker(undefined, { t })
  const router = await routerOver([hanging, healthy], { t, args: ['--first-token-timeout-secs', '2'] })
  const request = apiRequest({ stream: true })
  await warmUp(router)
  hanging.use(acceptAndHang())
  const served = hanging.requests.length
  const lag = startLagMeter(t)

  const exchanges = Array.from({ length: count }, () => rawRequest({ port: router.apiPort, ...request }))
  const times = await Promise.all(exchanges.map(timeOfSuccess))
  t.diagnostic(`${count} streams: p50 ${ms(times, 0.5)}, p99 ${ms(times, 0.99)} ms`)

  // Those that came after the breaker had opened did not even try; of the first, every other one hung.
  const hung = hanging.requests.slice(served)
  assert.ok(hung.length >= 5, `${hung.length} hung`)
  assert.ok(percentile(times, 0.99) <= 2000 + slackMs + lag.worst, `machine: ${lag.worst} ms`)
  for (const { connection } of hung) await within(1000, connection.peerClosed, 'the end of its socket')
  await assertBooks(router, {
    ends: { completed: warmUps + count },
    streams: { completed: count },
    workers: 2,
  })
})

test('a line that goes dead in the middle of streams: an error event within the idle limit and half a second', {
  timeout: 60_000,
}, async (t) => {
  const limitMs = sized(3000, 1000)
  const count = 20
  const worker = await startScriptedWorker(undefined, { tokens: 1000, tokenMs: 20, t })
  const line = await startTcpProxy({ target: worker.port, t })
  const args = ['--stream-idle-timeout-secs', String(limitMs / 1000), '--health-check-timeout-secs', '60']
  const router = await routerOver([line], { t, args })
  const request = apiRequest({ stream: true })

  const exchanges = Array.from({ length: count }, () => rawRequest({ port: router.apiPort, ...request }))
  await within(5000, Promise.all(exchanges.map((exchange) => exchange.firstEvents(5))), 'tokens')
  // Only one way: the worker goes on sending, and must see how its connection is closed.
  line.set({ blackhole: 'to-client' })
  const deadAt = performance.now()
  const lag = startLagMeter(t)
  const ended = await within(limitMs + 5000, Promise.all(exchanges.map(({ body }) => body)), 'an end of each')
  const closed = await Promise.all(
    worker.requests.map(({ connection }) =>
      within(1000, connection.peerClosed, "the end of the worker's socket"),
    ),
  )
  const delays = exchanges.map(({ events }) => (events.at(-1)?.at ?? Number.NaN) - deadAt)
  const closes = closed.map(({ at }) => at - deadAt)
  t.diagnostic(
    `limit ${limitMs} ms: told after p99 ${ms(delays, 0.99)}, socket closed after p99 ${ms(closes, 0.99)}`,
  )

  for (const { events } of exchanges) {
    const errors = events.filter(({ data }) => data.startsWith('{"error"'))
    assert.equal(errors.length, 1)
    assert.equal(JSON.parse(errors[0]?.data ?? '').error.code, 'stream_idle_timeout')
    assert.equal(events.at(-1), errors[0])
    assert.ok(!events.some(({ data }) => data === '[DONE]'))
  }
  assert.ok(ended.every(({ complete }) => complete))
  const most = limitMs + slackMs + lag.worst
  assert.ok(
    percentile(delays, 1) <= most && percentile(delays, 0) >= limitMs - 100,
    `machine: ${lag.worst} ms`,
  )
  assert.ok(percentile(closes, 1) <= most)
  const ends = { stream_idle_timeout: count }
  await assertBooks(router, { ends, streams: ends, workers: 1 })
})

test('a host that takes no connections any more: every request goes elsewhere within the connect limit', {
  timeout: 60_000,
}, async (t) => {
  const count = 40
  const limitMs = 300
  const deaf = await startDeafWorker(t)
  const healthy = await startScriptedWorker(undefined, { t })
  const args = ['--connect-timeout-ms', String(limitMs), '--health-check-interval-secs', '60']
  const router = await routerOver([deaf, healthy], { t, args })
  await warmUp(router)
  await deaf.goDeaf()
  const lag = startLagMeter(t)

  const exchanges = Array.from({ length: count }, (_, index) =>
    rawRequest({ port: router.apiPort, ...apiRequest({ stream: index % 2 === 0 }) }),
  )
  const times = await Promise.all(exchanges.map(timeOfSuccess))
  const attempts = await Promise.all(
    exchanges.map(async ({ head }) => (await head).header('x-router-attempts')),
  )
  t.diagnostic(`${count} requests: p50 ${ms(times, 0.5)}, p99 ${ms(times, 0.99)} ms`)

  assert.ok(attempts.filter((text) => text === '2').length >= 5, `attempts ${attempts}`)
  // Bun's fetch has no limit for connecting: after that time a second connection is tried beside it, for as long.
  assert.ok(percentile(times, 1) <= 2 * limitMs + slackMs + lag.worst, `machine: ${lag.worst} ms`)
  await assertBooks(router, {
    ends: { completed: warmUps + count },
    streams: { completed: count / 2 },
    workers: 2,
  })
})

/** So that what is measured is not the first work of a program that has just started. */
async function warmUp(router: RouterProcess): Promise<void> {
  await sendAll(
    Array.from({ length: warmUps }, () => apiRequest()),
    { port: router.apiPort, connections: 10 },
  )
}

/** Milliseconds until the whole answer was there. */
async function timeOfSuccess(exchange: RawExchange): Promise<number> {
  const { status, text } = await within(20_000, exchange.text(), 'a whole answer')
  assert.equal(status, 200, text)
  assert.ok(exchange.events.length === 0 || exchange.events.at(-1)?.data === '[DONE]')
  return (exchange.endedAt ?? Number.NaN) - exchange.sentAt
}

const ms = (values: readonly number[], share: number): string => percentile(values, share).toFixed(0)
