/** Usage of routers that are processes: what is left of it when one is killed. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { SqliteUsage } from '../../app/usage/sqlite-usage.ts'
import { sumOf } from '../../app/usage/usage-row.ts'
import { eventually } from '../support/deadline.ts'
import { processPids } from '../support/process-pids.ts'
import { routerOver } from '../support/router-over.ts'
import { runRouter } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { assertSameAsMetrics, usageOf, use, withTenants } from '../support/usage-router.ts'

const timeout = 60_000

async function setUp(t: Scope, ...args: string[]) {
  const folder = await mkdtemp(join(tmpdir(), 'usage-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const worker = await startScriptedWorker(undefined, { t })
  const config = join(folder, 'router.json')
  await writeFile(config, JSON.stringify({ usageDir: folder, ...withTenants('a', 'b') }))
  const router = await routerOver([worker], { t, args: ['--config', config, ...args] })
  /** What is in the file, whoever may have it open. */
  const kept = async () => {
    const file = await SqliteUsage.open(join(folder, 'usage.sqlite'))
    const { requests } = sumOf(file.rows({ from: 0, to: Number.MAX_SAFE_INTEGER }))
    file.close()
    return requests
  }
  return { router, kept }
}

test('after kill -9 no more than the last second is missing', { timeout }, async (t) => {
  const { router, kept } = await setUp(t)
  const ended: number[] = []
  const until = performance.now() + 3000
  while (performance.now() < until) {
    await use(router, 'a')
    ended.push(performance.now())
  }
  const killedAt = performance.now()
  await router.kill()
  const requests = await kept()
  const sure = ended.filter((at) => at < killedAt - 1000).length
  assert.ok(
    sure > 0 && requests >= sure && requests <= ended.length,
    `${requests} of ${ended.length}, ${sure} sure`,
  )
})

test('two processes keep the same books, also when one is killed, and when both end', {
  timeout,
}, async (t) => {
  const { router, kept } = await setUp(t, '--processes', '2', '--shutdown-settle-secs', '0')
  const some = async () => {
    for (let time = 0; time < 5; time++)
      await Promise.all(['a', 'b', undefined].map((tenant) => use(router, tenant)))
  }
  await some()
  const { hours, total } = await usageOf(router)
  assert.deepEqual([total.requests, hours.length], [15, 3])
  await assertSameAsMetrics(router)
  process.kill(processPids(router)[0]!, 'SIGKILL')
  await eventually(() => processPids(router).length === 3, { what: 'a replacement', withinMs: 15_000 })
  await some()
  assert.equal((await usageOf(router, '?tenant=a')).total.requests, 10)
  await use(router, 'a')
  await router.stop()
  assert.equal(await kept(), 31)
})

test('a directory that cannot be is a fault of the configuration', { timeout }, async (t) => {
  const { code, stderr } = await runRouter({
    t,
    args: ['--usage-dir', '/dev/null/within', '--processes', '2'],
  })
  assert.equal(code, 2, stderr)
  assert.match(stderr, /usage-dir/)
})
