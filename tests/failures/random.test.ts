/** Thousands of requests of every kind under every fault at random: each ends well, or is told the truth in time. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Api, apiRequest, apis } from '../support/api-bodies.ts'
import { within } from '../support/deadline.ts'
import { assertBooks, postLines, tally } from '../support/failure-books.ts'
import { startFaultStorm } from '../support/fault-storm.ts'
import { startLagMeter } from '../support/lag-meter.ts'
import { percentile } from '../support/percentile.ts'
import { seeded } from '../support/random.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { sized } from '../support/soak.ts'
import { type Verdict, verdictOf } from '../support/verdict.ts'

const count = sized(10_000, 1500)
const lanes = 40
const seed = Number(process.env.ROUTER_SEED ?? 20_26)
/** Milliseconds that a client gives its request. */
const deadlineMs = 3000
/** Milliseconds until an answer that the router has given is here, on a machine with other things to do. */
const slackMs = 500

interface Request {
  readonly id: string
  readonly api: Api
  readonly stream: boolean
}

interface Result extends Request {
  readonly verdict: Verdict
  readonly ms: number
}

const flags = [
  ...['--first-token-timeout-secs', '1.2', '--stream-idle-timeout-secs', '1.2', '--max-event-bytes', '64KiB'],
  ...['--health-check-interval-secs', '0.2', '--worker-startup-check-interval', '0.1'],
]

test(`${count} requests under random faults (seed ${seed})`, { timeout: 300_000 }, async (t) => {
  const storm = await startFaultStorm({ workers: 7, share: 0.2, seed, t })
  const router = await routerOver(storm.urls, { t, args: flags })
  const calm = storm.flicker(150)
  const lag = startLagMeter(t)
  const random = seeded(seed)
  const results = await inLanes(count, async (index) => {
    const api = apis[Math.floor(random() * apis.length)] as Api
    return await send(router, { id: `r${index}`, api, stream: api.streams && random() < 0.6 })
  })
  calm()

  const kinds = tally(results.map(({ verdict }) => verdict.kind))
  const codes = tally(results.flatMap(({ verdict }) => ('code' in verdict ? [String(verdict.code)] : [])))
  const times = results.map(({ ms }) => ms)
  const faults = [...storm.struck.values()].reduce((sum, times) => sum + times, 0)
  t.diagnostic(
    `${faults} faults of ${storm.struck.size} kinds; ${JSON.stringify({ ...kinds, codes })}; slowest ${percentile(times, 1).toFixed(0)} ms (machine: ${lag.worst.toFixed(0)})`,
  )
  const slowest = percentile(times, 1)
  assert.ok(slowest <= deadlineMs + slackMs + lag.worst, `${slowest} ms (machine: ${lag.worst} ms)`)
  for (const { id, verdict } of results) {
    const executions = storm.executions(id)
    const wanted = verdict.kind === 'whole' ? executions === 1 : executions <= 1
    if (!wanted)
      assert.fail(`${id} was executed by ${executions} workers (${storm.story(id)}): ${logged(router, id)}`)
  }
  assert.ok((kinds.whole ?? 0) > 0.85 * count, 'most are saved')
  assert.ok(storm.struck.size > 30, 'all kinds of faults struck')
  assertEnds(router, results)
  await assertBooks(router, {
    ends: tally(results.map(({ verdict }) => endOf(verdict))),
    streams: tally(
      results.flatMap(({ stream, verdict }) => (isCommittedStream(stream, verdict) ? [endOf(verdict)] : [])),
    ),
    workers: storm.workers.length,
  })
})

async function send(router: RouterProcess, request: Request): Promise<Result> {
  const headers = { 'x-request-timeout-ms': String(deadlineMs) }
  const exchange = rawRequest({ port: router.apiPort, ...apiRequest({ ...request, headers }) })
  const [head, body] = await within(
    deadlineMs + 5000,
    Promise.all([exchange.head, exchange.body]),
    `an end of ${request.id} (${request.api.name})`,
  )
  try {
    const verdict = verdictOf({ ...request, model: 'test-model', head, body })
    return { ...request, verdict, ms: (exchange.endedAt ?? Number.NaN) - exchange.sentAt }
  } catch (error) {
    throw new Error(`${request.id} (${request.api.name}): ${(error as Error).message}`, { cause: error })
  }
}

function logged(router: RouterProcess, id: string): string {
  const lines = router.logs().filter(({ request_id }) => request_id === id)
  return lines.map((line) => JSON.stringify(line)).join('\n')
}

/** So many at a time. */
async function inLanes<T>(total: number, run: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < total) {
      const index = next++
      results[index] = await run(index)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return results
}

function endOf(verdict: Verdict): string {
  if (verdict.kind === 'error alone') return 'worker_error'
  if (verdict.kind === 'cut') return 'worker_lost'
  if (verdict.kind === 'error event') return verdict.code ?? 'worker_error'
  // A number is the worker's own: its answer is relayed as it is.
  return verdict.kind === 'error status' && typeof verdict.code === 'string' ? verdict.code : 'completed'
}

function isCommittedStream(stream: boolean, verdict: Verdict): boolean {
  return stream && verdict.kind !== 'error status'
}

/** The access log says of each request what its client saw. */
function assertEnds(router: RouterProcess, results: readonly Result[]): void {
  const lines = new Map(postLines(router).map((line) => [line.request_id, line.end_reason]))
  for (const { id, verdict } of results) {
    if (lines.has(id)) assert.equal(lines.get(id), endOf(verdict), id)
  }
}
