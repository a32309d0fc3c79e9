/** Very many requests, every tenth aborted: what they leave behind is nothing, in memory and in sockets. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from './support/api-bodies.ts'
import { eventually, pause, within } from './support/deadline.ts'
import { assertQuiet } from './support/failure-books.ts'
import { openSockets, residentMegabytes } from './support/process-status.ts'
import { openConnection, type RawConnection, rawRequest } from './support/raw-client.ts'
import { booksClosed, endReasons, outcomes } from './support/router-books.ts'
import { routerOver } from './support/router-over.ts'
import type { RouterProcess } from './support/router-process.ts'
import { startSim } from './support/sim-process.ts'
import { sized, soaking } from './support/soak.ts'

const requests = sized(100_000, 5000)
const aborts = requests / 10
const lanes = 16
/** The same load as measured, for a runtime to take what it likes to keep. */
const warmUp = sized(100_000, 2500)

test(`${requests} requests, ${aborts} of them aborted: memory stays flat and the sockets are those of the start`, {
  timeout: 600_000,
}, async (t) => {
  const fast = await startSim({ args: ['--model', 'fast', '--worker-id', 'fast'], t })
  const slow = await startSim({ args: ['--model', 'slow', '--ttft-ms', '10', '--token-ms', '10'], t })
  const router = await routerOver([fast, slow], { t })
  const socketsAtStart = openSockets(router.pid)

  await run(router, warmUp)
  const samples: Sample[] = []
  const watch = setInterval(() => samples.push({ after: progress.done, megabytes: residentMegabytes(router.pid) }), 100)
  t.after(() => clearInterval(watch))
  const progress = { done: 0 }
  const aborted = await run(router, requests, progress)
  clearInterval(watch)

  const slope = slopeOf(lowest(samples, 20)) * 100_000
  const { megabytes: last = Number.NaN } = samples.at(-1) ?? {}
  t.diagnostic(`${slope.toFixed(2)} MB for 100,000 requests, ${last.toFixed(0)} MB in the end`)
  assert.equal(aborted, aborts)
  if (soaking) assert.ok(slope <= 1, `${slope.toFixed(2)} MB for 100,000 requests`)
  else assert.ok(last - (samples[0]?.megabytes ?? 0) <= 25, `from ${samples[0]?.megabytes} to ${last} MB`)
})
