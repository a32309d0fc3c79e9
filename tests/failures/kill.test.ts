/** A worker is killed in the middle of everything: what had not begun is saved, what had is told, the rest never notices. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, pause, within } from '../support/deadline.ts'
import { assertBooks, tally } from '../support/failure-books.ts'
import { startLagMeter } from '../support/lag-meter.ts'
import { percentile } from '../support/percentile.ts'
import { openConnection, type RawExchange, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { type SimProcess, startSim } from '../support/sim-process.ts'
import { sized } from '../support/soak.ts'
import { steadyLoad } from '../support/steady-load.ts'

const workers = 7
const victim = 3
const streams = sized(500, 150)
const requestsAfter = 1000
/** Milliseconds; the short form runs beside other tests. */
const toldWithinMs = sized(100, 250)
const model = 'facebook/opt-350m'

/** Its prefill takes more than a second: the kill comes before the first token. */
const longPrompt = 'and so on '.repeat(250)

const nameOf = (index: number): string => `worker-${index + 1}`

test(`SIGKILL of 1 of ${workers} workers under ${streams} streams`, { timeout: 120_000 }, async (t) => {
  const sims = await startSims(t)
  const router = await routerOver(sims, { t })
  const generating = open(router, Math.round(streams * 0.7), 'hi')
  await within(20_000, Promise.all(generating.map((stream) => stream.firstEvents(1))), 'a token of each')
  const waiting = open(router, streams - generating.length, longPrompt)
  await eventually(async () => (await router.metric('vllm_router_running_requests')) === streams, {
    what: 'all of them at their workers',
    withinMs: 20_000,
  })
  // What is measured is the kill, not the burst of openings before it.
  await pause(300)

  const lag = startLagMeter(t)
  const { killedAt, goneAt } = await kill(sims[victim])
  const next = await steadyLoad({ perSecond: 300, seconds: requestsAfter / 300 }, () => askOnce(router))
  const ended = await Promise.all([...generating, ...waiting].map(endOf))
  const lost = ended.filter(({ error }) => error !== undefined)
  const delays = lost.map(({ error }) => (error?.at ?? Number.NaN) - goneAt)
  const machineMs = lag.worstUntil(goneAt + percentile(delays, 1))
  const saved = ended.filter(({ attempts }) => attempts > 1)
  t.diagnostic(
    `${streams} streams: ${lost.length} lost, told after p50 ${percentile(delays, 0.5).toFixed(1)} ms, ` +
      `p99 ${percentile(delays, 0.99).toFixed(1)} ms (its sockets were closed ${(goneAt - killedAt).toFixed(1)} ms ` +
      `after the signal, machine: ${machineMs.toFixed(1)} ms); ${saved.length} saved by a retry`,
  )

  assert.deepEqual(
    ended.filter(({ status }) => status !== 200),
    [],
    'errors before the commit',
  )
  // Each stream that had begun on the victim was told, nobody else was, and some on it had not begun.
  const begun = ended.filter(({ worker, firstAt }) => worker === nameOf(victim) && firstAt < killedAt)
  assert.ok(begun.length >= Math.floor(generating.length / workers), `${begun.length} had begun`)
  assert.ok(begun.every(({ error }) => error !== undefined))
  assert.ok(lost.every(({ worker }) => worker === nameOf(victim)))
  assert.ok(saved.length > 0 && saved.every(({ error }) => error === undefined))
  assert.ok(percentile(delays, 0.99) <= toldWithinMs + machineMs, `told after ${percentile(delays, 0.99)} ms`)
  assert.deepEqual(tally(next), { 200: requestsAfter }, 'the next requests')
  await assertBooks(router, {
    ends: { completed: streams - lost.length + requestsAfter, worker_lost: lost.length },
    streams: { completed: streams - lost.length, worker_lost: lost.length },
    workers,
  })
})

function startSims(t: TestContext): Promise<SimProcess[]> {
  const gap = String(sized(100, 60))
  return Promise.all(
    Array.from({ length: workers }, (_, index) =>
      startSim({
        args: [
          '--worker-id',
          nameOf(index),
          '--token-ms',
          gap,
          '--prefill-token-ms',
          '2',
          '--no-prefix-cache',
        ],
        t,
      }),
    ),
  )
}

/** When the signal was sent, and when the kernel had closed the process's sockets, as a bystander's connection shows. */
async function kill(sim: SimProcess | undefined): Promise<{ killedAt: number; goneAt: number }> {
  assert.ok(sim)
  const bystander = openConnection(sim)
  // Bun notices the end of a connection only where something has come before.
  await bystander.request({ path: '/health' }).text()
  const killedAt = performance.now()
  const [{ at }] = await Promise.all([within(5000, bystander.closed, 'the end of the process'), sim.kill()])
  return { killedAt, goneAt: at }
}

function open(router: RouterProcess, count: number, content: string): RawExchange[] {
  const fields = { max_tokens: 50, messages: [{ role: 'user', content }] }
  const request = apiRequest({ model, stream: true, fields })
  return Array.from({ length: count }, () => rawRequest({ port: router.apiPort, ...request }))
}

/** The status of a whole answer. */
async function askOnce(router: RouterProcess): Promise<string> {
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ model, fields: { max_tokens: 1 } }) })
  return String((await within(10_000, exchange.text(), 'an answer')).status)
}

/** How a stream ended: it must be complete with its end mark, or end with exactly one error event. */
async function endOf(exchange: RawExchange) {
  const head = await within(20_000, exchange.head, 'a head')
  const body = await within(20_000, exchange.body, 'an end')
  assert.equal(body.fault, undefined)
  const errors = exchange.events.filter(({ data }) => data.startsWith('{"error"'))
  const done = exchange.events.filter(({ data }) => data === '[DONE]')
  assert.equal(errors.length + done.length, 1, 'an end mark or an error event')
  const error = errors[0]
  assert.equal(exchange.events.at(-1), error ?? done[0], 'it is the last event')
  if (error !== undefined) assert.equal(JSON.parse(error.data).error.code, 'worker_lost')
  return {
    status: head.status,
    worker: head.header('x-worker-id'),
    attempts: Number(head.header('x-router-attempts')),
    firstAt: exchange.firstByteAt ?? Number.NaN,
    error,
  }
}
