/**
 * The line to a worker is at fault, not the worker: slow, thin, cut in slivers, closed one way, dead. What is merely slow is
 * whole; what is lost before content is saved by the other worker; what is lost later is told.
 */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Api, apiRequest, apis } from '../support/api-bodies.ts'
import { eventually, pause, within } from '../support/deadline.ts'
import { assertBooks, tally } from '../support/failure-books.ts'
import { type RawExchange, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { verdictOf } from '../support/verdict.ts'
import { chunk, hang, type Script, streamHead } from '../support/wire.ts'

const streaming = apis.filter(({ streams }) => streams)
const limits = ['--first-token-timeout-secs', '1', '--stream-idle-timeout-secs', '1']
/** The same line fails again and again: breakers, probes and budgets have tests of their own. */
const unmoved = ['--disable-circuit-breaker', '--health-check-interval-secs', '60']

/** Milliseconds, and more than the router's own limit for that. */
const staleMs = 200

interface Sent {
  readonly api: Api
  readonly stream: boolean
  readonly id: string
  readonly exchange: RawExchange
}

describe('a line', () => {
  const cleanups: (() => unknown)[] = []
  const ends: string[] = []
  const streamEnds: string[] = []
  let ids = 0
  let far: ScriptedWorker
  let line: TcpProxy
  let router: RouterProcess

  before(async () => {
    const t = { after: (work: () => unknown) => void cleanups.push(work) }
    far = await startScriptedWorker(undefined, { t })
    line = await startTcpProxy({ target: far.port, t })
    const near = await startScriptedWorker(undefined, { t })
    router = await routerOver([line, near], { t, args: [...limits, ...unmoved] })
  })
  after(() => Promise.all(cleanups.map((work) => work())))

  for (const [what, fault] of [
    ['with latency', { latencyMs: 60 }],
    ['of 20 KB a second', { bytesPerSecond: 20_000 }],
    ['that cuts everything in slivers', { slivers: 5 }],
  ] as const) {
    test(`${what} changes no byte and costs no attempt`, { timeout: 30_000 }, async () => {
      line.set(fault)
      const served = far.requests.length
      const sent = apis.flatMap((api) => [...twice(api, false), ...(api.streams ? twice(api, true) : [])])
      assert.deepEqual(await verdicts(sent), { 'whole after 1': sent.length })
      line.set({ latencyMs: 0, bytesPerSecond: 0, slivers: 0 })
      assert.ok(far.requests.length > served, 'the line was used')
    })
  }

  for (const [what, strike] of [
    ['closed by the worker alone', () => line.halfClose('to-client')],
    ['reset', () => line.resetAll()],
    ['dead in both directions', () => line.set({ blackhole: 'both' })],
  ] as const) {
    test(`${what} before the first token: the other worker answers`, { timeout: 30_000 }, async () => {
      await arrive([hang])
      const sent = streaming.flatMap((api) => twice(api, true))
      await reached(streaming.length)
      // Sooner, it would be taken for a connection that had been idle for too long, and the same worker be asked again.
      await pause(staleMs)
      strike()
      const half = streaming.length
      assert.deepEqual(await verdicts(sent), { 'whole after 1': half, 'whole after 2': half })
      assert.equal(far.requests.length, served + half, 'asked again at the end of the line')
      await mended()
    })

    test(`${what} in the middle of streams: each is told`, { timeout: 30_000 }, async () => {
      await arrive(undefined)
      const sent = streaming.flatMap((api) => twice(api, true))
      await reached(streaming.length)
      await within(5000, Promise.all(sent.map(({ exchange }) => exchange.firstEvents(1))), 'content of each')
      strike()
      const end = what.startsWith('dead') ? 'stream_idle_timeout' : 'worker_lost'
      const half = streaming.length
      assert.deepEqual(await verdicts(sent), { 'whole after 1': half, [`${end} after 1`]: half })
      await mended()
    })
  }

  test('access log, counters and gauges say the same', () =>
    assertBooks(router, { ends: tally(ends), streams: tally(streamEnds), workers: 2 }))

  let served = 0
  /** From now on the far worker does that with each request; undefined: a stream of two tokens that then stands still. */
  async function arrive(script: Script | undefined): Promise<void> {
    served = far.requests.length
    far.use((request) => {
      if (script !== undefined) return script
      const { prelude, tokens } = far.answerTo(request)
      return [streamHead(), ...[...prelude, ...tokens.slice(0, 2)].map(chunk), hang]
    })
  }

  /** So many more requests are at the far worker. */
  const reached = (count: number) =>
    within(5000, far.received(served + count), `${count} requests at the end of the line`)

  async function mended(): Promise<void> {
    far.use(undefined)
    line.set({ blackhole: 'none' })
    line.resetAll()
    // A worker whose clients have waited in vain is the last choice for some seconds.
    const { operationsPort: port } = router
    const lastChoices = async () => {
      const { text } = await rawRequest({ port, path: '/workers' }).text()
      return JSON.parse(text).workers.map((worker: { last_choice: unknown }) => worker.last_choice)
    }
    const what = 'workers that are chosen like others'
    await eventually(async () => (await lastChoices()).every((why: unknown) => why === null), {
      what,
      withinMs: 15_000,
    })
  }

  /** In turn, one goes to each worker. */
  function twice(api: Api, stream: boolean): Sent[] {
    return [0, 1].map(() => {
      const id = `line-${ids++}`
      return {
        api,
        stream,
        id,
        exchange: rawRequest({ port: router.apiPort, ...apiRequest({ api, stream, id }) }),
      }
    })
  }

  async function verdicts(sent: readonly Sent[]): Promise<Readonly<Record<string, number>>> {
    const words = sent.map(async ({ exchange, ...request }) => {
      const both = Promise.all([exchange.head, exchange.body])
      const [head, body] = await within(10_000, both, `an end of ${request.id} (${request.api.name})`)
      const verdict = verdictOf({ ...request, model: 'test-model', head, body })
      const end = 'code' in verdict ? String(verdict.code) : verdict.kind
      ends.push(end === 'whole' ? 'completed' : end)
      if (request.stream) streamEnds.push(end === 'whole' ? 'completed' : end)
      return `${end} after ${head.header('x-router-attempts')}`
    })
    return tally(await Promise.all(words))
  }
})
