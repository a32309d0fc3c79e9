/**
 * A client that leaves, whatever its request is doing at that moment: the worker's connection closes within
 * milliseconds, nothing goes on for nobody, and nobody is blamed.
 */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { apiRequest } from './support/api-bodies.ts'
import { within } from './support/deadline.ts'
import { assertBooks } from './support/failure-books.ts'
import { halfOf } from './support/fault.ts'
import { percentile } from './support/percentile.ts'
import { type RawExchange, rawRequest } from './support/raw-client.ts'
import { booksClosed, outcomes } from './support/router-books.ts'
import { routerOver } from './support/router-over.ts'
import type { RouterProcess } from './support/router-process.ts'
import {
  type Behaviour,
  type RecordedRequest,
  type ScriptedWorker,
  startScriptedWorker,
} from './support/scripted-worker.ts'
import { sized } from './support/soak.ts'
import { chunk, hang, streamHead, wait } from './support/wire.ts'

/** Milliseconds from the client's cut to the end of the worker's connection. */
const limitMs = 20

interface Phase {
  readonly name: string
  readonly cuts: number
  readonly stream: boolean
  readonly worker: Behaviour | ((worker: () => ScriptedWorker) => Behaviour)
  /** Resolves when the request is in that phase. */
  readonly reached: (exchange: RawExchange) => Promise<unknown>
  /** The answer has begun: its status is sent, and it is counted among the streams. */
  readonly committed?: true
}

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5))

const phases: readonly Phase[] = [
  {
    name: 'in the middle of a stream',
    cuts: sized(1000, 200),
    stream: true,
    worker: (request) => endless(request),
    reached: (exchange) => exchange.firstEvents(3),
    committed: true,
  },
  {
    name: 'before the headers of a stream',
    cuts: sized(500, 100),
    stream: true,
    worker: [hang],
    reached: soon,
  },
  {
    name: 'while the stream is held: headers have come, content has not',
    cuts: sized(500, 100),
    stream: true,
    worker: (request) => [streamHead(), ...prelude(request), hang],
    reached: soon,
  },
  { name: 'before the headers of a plain answer', cuts: sized(500, 60), stream: false, worker: [hang], reached: soon },
  {
    name: 'in the middle of a plain answer',
    cuts: sized(500, 60),
    stream: false,
    worker: () => [...halfOf(JSON.stringify({ text: 'x'.repeat(1000) })), hang],
    reached: soon,
  },
  {
    name: 'in the middle of a plain answer that trickles and has begun to reach the client',
    cuts: sized(100, 20),
    stream: false,
    worker: () => [...halfOf(JSON.stringify({ text: 'x'.repeat(1000) })), hang],
    reached: (exchange) => exchange.head,
  },
]

function endless(request: RecordedRequest) {
  return [streamHead(), ...prelude(request), ...Array.from({ length: 2000 }, () => [chunk(token), wait(5)]).flat()]
}

const token = 'data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"t"}}]}\n\n'

function prelude(_request: RecordedRequest): Buffer[] {
  return [chunk('data: {"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n')]
}

describe('a client leaves', () => {
  for (const phase of phases) {
    test(`${phase.name}: the worker's connection closes at once`, async (t) => {
      const worker = await startScriptedWorker(phase.worker as Behaviour, { t })
      const router = await routerOver([worker], { t })
      const { delays, statuses } = await cutAll(router, worker, phase)
      t.diagnostic(`${delays.length} cuts: ${summary(delays)}`)
      assert.ok(percentile(delays, 0.99) <= limitMs, `closed ${summary(delays)} after the cut`)
      assert.equal(worker.requests.length, phase.cuts, 'each request reached the worker once')
      assert.ok(worker.requests.every(({ connection }) => connection.closedAt !== undefined))
      await assertBooks(router, {
        ends: { client_closed: phase.cuts },
        streams: phase.committed ? { client_closed: phase.cuts } : {},
        workers: 1,
      })
      assert.deepEqual(statuses, phase.committed || phase.reached !== soon ? [200] : [499])
      assert.deepEqual(outcomes(await booksClosed(router)), { success: 0, failure: 0, neutral: phase.cuts })
      await serves(router, worker)
    })
  }
})
