/**
 * Everything is replaced under load, one after the other: two routers behind something that asks for readiness, as a
 * load balancer does, then all seven workers. Nobody who uses the service may notice.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { DeadlineError, eventually, pause, within } from '../support/deadline.ts'
import { type Done, type Load, startLoad } from '../support/load.ts'
import { rawRequest } from '../support/raw-client.ts'
import { booksClosed } from '../support/router-books.ts'
import { untilAvailable } from '../support/router-over.ts'
import { type RouterProcess, startRouter } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { type SimProcess, startSim } from '../support/sim-process.ts'
import { sized } from '../support/soak.ts'

const model = 'facebook/opt-350m'
const workerCount = 7
const plainPerSecond = sized(300, 60)
/** Of half a second each: half as many are open at any time. */
const streamsPerSecond = sized(200, 30)
const sim = ['--graceful', '--model', model, '--token-ms', '20']

/** In full with the router's own times for settling and probing. */
const routerFlags = sized(
  [],
  [
    ...['--shutdown-settle-secs', '1.5', '--health-check-interval-secs', '0.25'],
    ...['--worker-startup-check-interval', '0.1'],
  ],
)

test(`two routers, then seven workers are restarted under ${plainPerSecond} requests a second: none fails`, {
  timeout: 300_000,
}, async (t) => {
  const workers = await Promise.all(Array.from({ length: workerCount }, () => startSim({ args: sim, t })))
  const front = await startFront(workers, t)
  const plain = startLoad({ perSecond: plainPerSecond, to: front.next, request: () => request(false), t })
  const streams = startLoad({ perSecond: streamsPerSecond, to: front.next, request: () => request(true), t })
  await pause(1000)

  for (const place of [0, 1]) await front.restart(place)
  const afterRouters = counts(plain, streams)
  for (const worker of workers) {
    const { code } = await within(20_000, worker.kill('SIGTERM'), 'the end of a worker')
    assert.equal(code, 0)
    await worker.restart()
    for (const router of front.routers) await untilAvailable(router, workerCount, 20_000)
  }
  await pause(500)

  const faults: readonly Done[] = [...(await plain.stop()), ...(await streams.stop())]
  t.diagnostic(`${afterRouters} requests until both routers were new, ${counts(plain, streams)} in all`)
  assert.deepEqual(faults.slice(0, 5), [], `${faults.length} requests failed`)
  for (const router of front.routers) await booksClosed(router)
})

const request = (stream: boolean) => apiRequest({ model, stream, fields: { max_tokens: stream ? 25 : 1 } })

const counts = (...loads: readonly Load[]): number => loads.reduce((sum, { done }) => sum + done.length, 0)

/** Two routers over the same workers, and the choice among those that are ready. */
async function startFront(workers: readonly SimProcess[], t: Scope) {
  const urls = workers.map(({ url }) => url)
  const start = async (port: number): Promise<RouterProcess> => {
    const args = ['--port', String(port), '--worker-urls', ...urls, ...routerFlags]
    const router = await startRouter({ args, t })
    await untilAvailable(router, workers.length)
    return router
  }
  const routers = await Promise.all([start(0), start(0)])
  const balancer = new Balancer(routers.map(({ apiPort }) => apiPort))
  t.after(() => balancer.stop())
  return {
    routers,
    next: () => balancer.next(),
    async restart(place: number): Promise<void> {
      const old = routers[place]
      if (old === undefined) throw new Error(`no router ${place}`)
      assert.equal((await old.stop('SIGTERM', 60_000)).code, 0)
      routers[place] = await start(old.apiPort)
      await eventually(() => balancer.ready.has(old.apiPort), { what: 'the balancer sees the new router' })
    },
  }
}

/** Asks each port for its readiness ten times a second, and hands out those that said yes, in turn. */
class Balancer {
  readonly ready: Set<number>
  readonly #timers: readonly ReturnType<typeof setInterval>[]
  #turn = 0

  constructor(ports: readonly number[]) {
    this.ready = new Set(ports)
    this.#timers = ports.map((port) => setInterval(() => void this.#look(port), 100))
  }

  next(): { port: number } {
    const ports = [...this.ready]
    const port = ports[this.#turn++ % ports.length]
    if (port === undefined) throw new Error('no router is ready')
    return { port }
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }

  async #look(port: number): Promise<void> {
    const answer = within(1000, rawRequest({ port, path: '/readiness' }).text(), 'readiness')
    // No answer in time may be the machine's slowness: that alone must not leave nobody.
    const { status } = await answer.catch((error) => ({ status: error instanceof DeadlineError ? -1 : 0 }))
    if (status === -1 && this.ready.size === 1) return
    if (status === 200) this.ready.add(port)
    else this.ready.delete(port)
  }
}
