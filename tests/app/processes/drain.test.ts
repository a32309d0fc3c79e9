/** SIGTERM and Ctrl-C at a router of two processes: it stops as one. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually, within } from '../../support/deadline.ts'
import { processPids, runs } from '../../support/process-pids.ts'
import { type RawExchange, rawRequest } from '../../support/raw-client.ts'
import { routerOver } from '../../support/router-over.ts'
import type { RouterProcess } from '../../support/router-process.ts'
import { startScriptedWorker } from '../../support/scripted-worker.ts'
import { hang } from '../../support/wire.ts'

const timeout = 30_000
const path = '/v1/completions'

function ask({ apiPort: port }: RouterProcess): RawExchange {
  return rawRequest({ port, path, json: { model: 'test-model', prompt: 'hi', stream: true } })
}

async function begun(router: RouterProcess, count: number): Promise<readonly RawExchange[]> {
  const streams = Array.from({ length: count }, () => ask(router))
  await within(5000, Promise.all(streams.map((one) => one.firstEvents(2))), 'all streams have begun')
  return streams
}

async function ends(streams: readonly RawExchange[]): Promise<readonly string[]> {
  const bodies = await within(10_000, Promise.all(streams.map(({ body }) => body)), 'the end of all streams')
  assert.ok(bodies.every(({ complete }) => complete))
  return bodies.map(({ bytes }) => bytes.toString())
}

const done = /data: \[DONE\]\n\n$/

describe('two processes', () => {
  test('drain as one: not ready at once, no stream is cut, exit code 0', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { tokens: 12, tokenMs: 60, t })
    const router = await routerOver([worker], {
      t,
      args: ['--processes', '2', '--shutdown-settle-secs', '0.3'],
    })
    const streams = await begun(router, 30)
    router.signal('SIGTERM')
    await eventually(() => router.logs().some(({ msg }) => msg === 'draining'), { what: 'the order' })
    const asked = [router.apiPort, router.operationsPort].flatMap((port) => [port, port, port])
    const answers = await Promise.all(asked.map((port) => rawRequest({ port, path: '/readiness' }).text()))
    for (const { status, text } of answers) {
      assert.equal(status, 503)
      assert.match(text, /"reason":"draining"/)
    }
    const settling = await begun(router, 4)
    for (const text of await ends([...streams, ...settling])) assert.match(text, done)
    assert.deepEqual(await within(10_000, router.exited, 'the end'), { code: 0, signal: null })
    assert.ok(!processPids(router).some(runs))
    assert.equal(router.stderr(), '')
  })

  test('end what outlasts the grace time with the error event', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { tokens: 500, tokenMs: 50, t })
    const args = ['--shutdown-settle-secs', '0', '--shutdown-grace-secs', '0.3']
    const router = await routerOver([worker], { t, args: ['--processes', '2', ...args] })
    const streams = await begun(router, 10)
    router.signal('SIGTERM')
    for (const text of await ends(streams)) assert.match(text, /"code":"draining".*\n\n$/)
    assert.deepEqual(await within(10_000, router.exited, 'the end'), { code: 0, signal: null })
  })

  test('end at once with the second signal, and leave nobody behind', { timeout }, async (t) => {
    const worker = await startScriptedWorker([hang], { t })
    const router = await routerOver([worker], { t, args: ['--processes', '2'] })
    const stuck = Array.from({ length: 4 }, () => ask(router))
    await eventually(() => worker.requests.length === 4, { what: 'four at the worker' })
    router.signal('SIGTERM')
    await eventually(() => router.logs().some(({ msg }) => msg === 'draining'), { what: 'the order' })
    router.signal('SIGTERM')
    assert.deepEqual(await within(2000, router.exited, 'the end'), { code: 1, signal: null })
    await eventually(() => !processPids(router).some(runs), { what: 'no process left' })
    for (const one of stuck) one.abort()
  })

  test('follow their supervisor at Ctrl-C, which a terminal sends to all of them', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { tokens: 10, tokenMs: 50, t })
    const router = await routerOver([worker], { t, args: ['--processes', '2'] })
    const streams = await begun(router, 10)
    for (const pid of [...processPids(router), router.pid]) process.kill(pid, 'SIGINT')
    for (const text of await ends(streams)) assert.match(text, done)
    assert.deepEqual(await within(10_000, router.exited, 'the end'), { code: 0, signal: null })
    assert.equal(await restarts(router), 0)
  })

  test('cut no stream either when only one of them gets SIGTERM, and it is replaced', {
    timeout,
  }, async (t) => {
    const worker = await startScriptedWorker(undefined, { tokens: 10, tokenMs: 50, t })
    const router = await routerOver([worker], {
      t,
      args: ['--processes', '2', '--shutdown-settle-secs', '0'],
    })
    const streams = await begun(router, 20)
    const [first] = processPids(router)
    process.kill(first ?? 0, 'SIGTERM')
    for (const text of await ends(streams)) assert.match(text, done)
    await eventually(() => processPids(router).length === 3, { what: 'a replacement', withinMs: 10_000 })
    assert.equal(await restarts(router), 1)
  })
})

async function restarts(router: RouterProcess): Promise<number> {
  return router.logs().filter(({ msg }) => String(msg).startsWith('process ended by itself')).length
}
