/** A worker that was killed and comes back: it is used again soon, and not buried under everything that waits. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { apiRequest } from './support/api-bodies.ts'
import { eventually, pause, within } from './support/deadline.ts'
import { startLoad } from './support/load.ts'
import { booksClosed, workersReady } from './support/router-books.ts'
import { routerOver } from './support/router-over.ts'
import { type ScriptedWorker, startScriptedWorker } from './support/scripted-worker.ts'
import { sized } from './support/soak.ts'

const perSecond = sized(150, 60)
/** Milliseconds in which the share of the returned worker is counted. */
const windowMs = sized(10_000, 3000)

describe('a killed worker comes back', { concurrency: true }, () => {
  for (const policy of ['round_robin', 'least_inflight']) {
    test(`${policy}: it is used within 5 s and gets at most 1.2 times its share`, {
      timeout: 60_000,
    }, async (t) => {
      // Streams of a second: a policy that looks at requests in flight would send the newcomer all of them.
      const options = { tokens: 20, tokenMs: 50, t }
      const workers = await Promise.all([0, 1, 2].map(() => startScriptedWorker(undefined, options)))
      const [killed] = workers as [ScriptedWorker, ...ScriptedWorker[]]
      const router = await routerOver(workers, { args: ['--policy', policy], t })
      const to = () => ({ port: router.apiPort })
      const load = startLoad({ perSecond, to, request: () => apiRequest({ stream: true }) })
      await pause(1500)
      await killed.crash()
      await workersReady(router, 2, 5000)
      await pause(1000)
      const before = killed.requests.length

      await killed.reopen()
      const backAt = performance.now()
      const first = await within(5000, killed.received(before + 1), 'a request at the returned worker')
      await pause(windowMs)
      const window = { from: first.at, to: first.at + windowMs }
      const counts = workers.map(
        ({ requests }) => requests.filter(({ at }) => at >= window.from && at < window.to).length,
      )
      const all = counts.reduce((sum, count) => sum + count, 0)
      const share = (counts[0] ?? 0) / (all / workers.length)
      t.diagnostic(
        `${policy}: used after ${(first.at - backAt).toFixed(0)} ms, then ${share.toFixed(2)} of its share`,
      )
      assert.ok(share <= 1.2, `${counts.join(', ')} requests`)
      assert.ok(share >= 0.5, `${counts.join(', ')} requests`)

      const faults = await load.stop()
      // Streams that had begun on the killed worker; everything else was saved by the others.
      assert.ok(
        faults.every(({ fault }) => fault?.includes('"code":"worker_lost"')),
        JSON.stringify(faults),
      )
      assert.ok(faults.length <= perSecond)
      await booksClosed(router)
    })
  }
})
