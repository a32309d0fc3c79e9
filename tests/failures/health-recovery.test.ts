/** A worker that was killed and comes back: it is used again soon, and not buried under everything that waits. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, pause, within } from '../support/deadline.ts'
import { startLoad } from '../support/load.ts'
import { booksClosed, workersReady } from '../support/router-books.ts'
import { routerOver } from '../support/router-over.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { sized } from '../support/soak.ts'

const perSecond = sized(60, 45)
/** Milliseconds in which the share of the returned worker is counted. */
const windowMs = sized(10_000, 3000)

/** The last one has no breaker that would let requests through one by one: slow start alone must hold them back. */
const variants = [
  ['--policy', 'round_robin'],
  ['--policy', 'least_inflight'],
  ['--policy', 'least_inflight', '--disable-circuit-breaker'],
]

test('a killed worker that comes back is used within 5 s and gets at most 1.2 times its share', {
  timeout: 60_000,
}, async (t) => {
  await Promise.all(variants.map((args) => killAndReturn(t, args)))
})

async function killAndReturn(t: TestContext, args: readonly string[]): Promise<void> {
  // Streams of a second: a policy that looks at requests in flight would send the newcomer all of them.
  const options = { tokens: 20, tokenMs: 50, t }
  const workers = await Promise.all([0, 1, 2].map(() => startScriptedWorker(undefined, options)))
  const [killed] = workers as [ScriptedWorker, ...ScriptedWorker[]]
  const router = await routerOver(workers, { args, t })
  const to = () => ({ port: router.apiPort })
  const load = startLoad({ perSecond, to, request: () => apiRequest({ stream: true }), t })
  await pause(1500)
  await killed.crash()
  await workersReady(router, 2, 5000)
  // A process is away for longer than a probe takes to notice; one that is back before was never away for it.
  const unhealthy = () => router.logs().some(({ msg }) => msg === 'worker unhealthy')
  await eventually(unhealthy, { what: 'the probe notices', withinMs: 5000 })
  const before = killed.requests.length

  await killed.reopen()
  const backAt = performance.now()
  const first = await within(5000, killed.received(before + 1), 'a request at the returned worker')
  await pause(windowMs)
  const counts = workers.map(
    ({ requests }) => requests.filter(({ at }) => at >= first.at && at < first.at + windowMs).length,
  )
  const fair = counts.reduce((sum, count) => sum + count, 0) / workers.length
  const share = (counts[0] ?? 0) / fair
  const what = `${args.join(' ')}: used after ${(first.at - backAt).toFixed(0)} ms, ${share.toFixed(2)} of its share`
  t.diagnostic(what)
  assert.ok(share > 0 && share <= 1.2, `${what} (${counts.join(', ')} requests)`)

  const faults = await load.stop()
  // Streams that had begun on the killed worker; everything else was saved by the others.
  assert.ok(
    faults.every(({ fault }) => fault?.includes('"code":"worker_lost"')),
    JSON.stringify(faults),
  )
  assert.ok(faults.length <= perSecond, `${faults.length} streams were cut`)
  await booksClosed(router)
}
