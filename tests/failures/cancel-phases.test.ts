/**
 * A client that leaves while a worker has its request, however far that has come: the worker's connection closes within
 * milliseconds, so that no GPU works for nobody, and nobody is blamed.
 */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { calmest } from '../support/calmest.ts'
import { pause, within } from '../support/deadline.ts'
import { assertBooks, assertBreakersStayedClosed, postLines } from '../support/failure-books.ts'
import { halfOf } from '../support/fault.ts'
import { percentile, spread } from '../support/percentile.ts'
import { type RawExchange, rawRequest } from '../support/raw-client.ts'
import { outcomes } from '../support/router-books.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { type RecordedRequest, type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { sized } from '../support/soak.ts'
import { chunk, hang, head, type Script, type Step, streamHead, wait } from '../support/wire.ts'

/** Milliseconds from the client's cut to the end of the worker's connection, for 99 of 100. */
const limitMs = 20
/** Clients at a time. With more of them it is their own process that is measured. */
const lanes = 2

interface Phase {
  readonly name: string
  readonly cuts: number
  readonly stream: boolean
  /** What the worker does: it never ends by itself. */
  readonly script: Script
  /** Resolves when the client has seen that its request is in that phase. */
  readonly seen?: (exchange: RawExchange) => Promise<unknown>
  /** Of the access log. 499 where nothing had been sent. */
  readonly status: 200 | 499
}

const event = (delta: object): Buffer =>
  chunk(`data: ${JSON.stringify({ id: 'x', choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`)
const roleDelta = event({ role: 'assistant', content: '' })
const tokens = Array.from({ length: 2000 }, (): Step[] => [event({ content: 'token' }), wait(5)]).flat()
const half = halfOf(JSON.stringify({ text: 'x'.repeat(1000) }))

const phases: readonly Phase[] = [
  {
    name: 'in the middle of a stream',
    cuts: sized(1000, 200),
    stream: true,
    script: [streamHead(), roleDelta, ...tokens],
    seen: (exchange) => exchange.firstEvents(3),
    status: 200,
  },
  {
    name: 'before the headers of a stream',
    cuts: sized(500, 100),
    stream: true,
    script: [hang],
    status: 499,
  },
  {
    name: 'while the headers of a stream are held back because no content has come',
    cuts: sized(500, 100),
    stream: true,
    script: [streamHead(), roleDelta, hang],
    status: 499,
  },
  {
    name: 'before the headers of a plain answer',
    cuts: sized(500, 100),
    stream: false,
    script: [hang],
    status: 499,
  },
  {
    name: 'while half of a plain answer is held back',
    cuts: sized(500, 100),
    stream: false,
    script: [...half, hang],
    status: 499,
  },
  {
    name: 'in the middle of a plain answer so slow that its beginning was sent on',
    cuts: sized(20, 2),
    stream: false,
    script: [
      head(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }),
      chunk('{'),
      hang,
    ],
    seen: (exchange) => exchange.head,
    status: 200,
  },
]

describe('a client leaves', () => {
  for (const phase of phases) {
    test(`${phase.name}: the worker's connection closes at once`, { timeout: 120_000 }, async (t) => {
      const worker = await startScriptedWorker(undefined, { t })
      const router = await routerOver([worker], { t })
      const { delays, lagMs } = await calmest(limitMs, t, () => cutAll(router, worker, phase))
      t.diagnostic(`${delays.length} cuts, worker's connection closed after ${spread(delays)} ms`)
      assert.ok(
        percentile(delays, 0.99) <= limitMs + lagMs,
        `closed after ${spread(delays)} ms (machine: ${lagMs} ms)`,
      )
      const cuts = worker.requests.length
      assert.ok(worker.requests.every(({ connection }) => connection.closedAt !== undefined))

      await assertBooks(router, {
        ends: { client_closed: cuts },
        streams: phase.stream && phase.status === 200 ? { client_closed: cuts } : {},
        workers: 1,
      })
      assert.deepEqual([...new Set(postLines(router).map(({ status }) => status))], [phase.status])
      assert.deepEqual(outcomes(await router.metrics()), { success: 0, failure: 0, neutral: cuts })
      await assertBreakersStayedClosed(router)
      await assertServes(router, worker)
    })
  }
})

/** Milliseconds each, in no particular order. Every other one leaves by reset. */
async function cutAll(router: RouterProcess, worker: ScriptedWorker, phase: Phase): Promise<number[]> {
  const arrived = new Map<string, (request: RecordedRequest) => void>()
  worker.use((request) => {
    arrived.get(request.header('x-request-id') ?? '')?.(request)
    return phase.script
  })
  const delays: number[] = []
  let next = 0
  async function lane(): Promise<void> {
    while (next < phase.cuts) {
      const index = next++
      const id = `cut-${worker.requests.length}-${index}`
      const arrival = new Promise<RecordedRequest>((resolve) => arrived.set(id, resolve))
      const request = apiRequest({ stream: phase.stream, id })
      const exchange = rawRequest({ port: router.apiPort, ...request })
      const { connection } = await within(5000, arrival, `${id} at the worker`)
      if (phase.seen) await within(5000, phase.seen(exchange), `${id} in its phase`)
      // What the worker has written is on its way to the router: nobody else can see it there.
      else await pause(5)
      const cutAt = performance.now()
      exchange.abort({ reset: index % 2 === 1 })
      const { at } = await within(5000, connection.peerClosed, `the end of ${id} at the worker`)
      delays.push(at - cutAt)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return delays
}

async function assertServes(router: RouterProcess, worker: ScriptedWorker): Promise<void> {
  worker.use(undefined)
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ stream: true }) })
  const { status, text } = await within(5000, exchange.text(), 'a request after all the cuts')
  assert.equal(status, 200)
  assert.match(text, /\[DONE\]/)
}
