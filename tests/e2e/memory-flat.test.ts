/** Very many requests, every tenth aborted: what they leave behind is nothing, in memory and in sockets. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, pause, within } from '../support/deadline.ts'
import { postLines, tally } from '../support/failure-books.ts'
import { openSockets, residentMegabytes } from '../support/process-status.ts'
import { openConnection, rawRequest } from '../support/raw-client.ts'
import { booksClosed, outcomes } from '../support/router-books.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { startSim } from '../support/sim-process.ts'
import { sized } from '../support/soak.ts'

const requests = sized(100_000, 5000)
const aborts = requests / 10
/** Before it is measured: what a runtime compiles and caches at first is no leak. */
const warmUp = sized(50_000, 2500)
const lanes = 16
/** Megabytes by which memory in use may grow over all of the requests. */
const limitMegabytes = 1

const loaded = fileURLToPath(new URL('../support/live-memory.ts', import.meta.url))
const env = { NODE_OPTIONS: `--expose-gc --import ${loaded}`, BUN_OPTIONS: `--preload ${loaded}` }

test(`${requests} requests, ${aborts} of them aborted: memory stays flat, the sockets are those of the start`, {
  timeout: 900_000,
}, async (t) => {
  const quick = await startSim({ args: ['--model', 'quick'], t })
  const slow = await startSim({ args: ['--model', 'slow', '--ttft-ms', '10', '--token-ms', '10'], t })
  const router = await routerOver([quick, slow], { env, t })
  const socketsAtStart = openSockets(router.pid)
  await run(router, warmUp)
  const before = { live: await liveMegabytes(router), resident: residentMegabytes(router.pid) }

  await run(router, requests)
  const metrics = await booksClosed(router)
  const live = (await liveMegabytes(router)) - before.live
  const resident = residentMegabytes(router.pid) - before.resident
  t.diagnostic(
    `after ${requests} requests: ${live.toFixed(2)} MB more in use, ${resident.toFixed(1)} MB more resident`,
  )
  assert.ok(live <= limitMegabytes, `${live.toFixed(2)} MB more in use`)

  // Idle connections to workers go after a few seconds.
  const sockets = () => openSockets(router.pid)
  await eventually(() => sockets() <= socketsAtStart, {
    what: `${socketsAtStart} sockets`,
    withinMs: 20_000,
    everyMs: 200,
  })
  const { client_closed: cuts = 0, ...others } = tally(
    postLines(router).map(({ end_reason: end }) => String(end)),
  )
  const sent = warmUp + requests
  assert.deepEqual(others, { completed: sent * 0.9 })
  // A few are reset before the router has read them: it never hears of those. Half of them it surely did hear of.
  assert.ok(cuts >= sent * 0.05 && cuts <= sent * 0.1, `${cuts} of ${sent} were cut`)
  const { success, failure, neutral } = outcomes(metrics)
  assert.deepEqual({ success, failure }, { success: sent * 0.9, failure: 0 })
  assert.ok(neutral >= sent * 0.05 && neutral <= cuts, `${neutral} attempts were cut, of ${cuts} requests`)
  const noise = router
    .stderr()
    .replaceAll(/^live \d+$/gm, '')
    .trim()
  assert.equal(noise, '')
  // It waits for requests that are not over: there are none.
  assert.equal((await router.stop('SIGINT', 5000)).code, 0)
})

/** Nine of ten are answered, plain or as a stream, over connections that are kept; each tenth is cut somewhere. */
async function run(router: RouterProcess, count: number): Promise<void> {
  let next = 0
  async function lane(): Promise<void> {
    const connection = openConnection({ port: router.apiPort })
    while (next < count) {
      const index = next++
      if (index % 10 === 9) await cut(router, index)
      else {
        const exchange = connection.request(
          apiRequest({ model: 'quick', stream: index % 3 === 0, fields: { max_tokens: 5 } }),
        )
        const { complete, fault } = await within(20_000, exchange.body, 'an answer')
        assert.ok(complete, fault)
      }
    }
    connection.abort()
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}

/** Mid-stream, before the first byte of a stream or of a plain answer; by FIN and by reset. */
async function cut(router: RouterProcess, index: number): Promise<void> {
  const kind = Math.floor(index / 10) % 4
  const request = apiRequest({ model: 'slow', stream: kind !== 3, fields: { max_tokens: 1000 } })
  const exchange = rawRequest({ port: router.apiPort, ...request })
  if (kind < 2) await within(20_000, exchange.firstEvents(1), 'the first event')
  else await pause(5)
  exchange.abort({ reset: index % 3 === 0 })
}

async function liveMegabytes(router: RouterProcess): Promise<number> {
  const told = (): string[] => router.stderr().match(/^live \d+$/gm) ?? []
  const before = told().length
  router.signal('SIGUSR2')
  const [line = ''] = await eventually(() => told().length > before && told().slice(-1), {
    what: 'memory in use',
    withinMs: 20_000,
  })
  return Number(line.split(' ')[1]) / 2 ** 20
}
