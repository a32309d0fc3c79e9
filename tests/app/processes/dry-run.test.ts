/** A dry run of two processes: the view of one of them, and the limits of both together. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DryRun } from '../../../app/request/dry-run.ts'
import { eventually, within } from '../../support/deadline.ts'
import { rawRequest } from '../../support/raw-client.ts'
import { routerOver } from '../../support/router-over.ts'
import { startScriptedWorker } from '../../support/scripted-worker.ts'
import { hang } from '../../support/wire.ts'

const timeout = 30_000
const json = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }] }

test('a dry run says which process speaks, and counts the requests of all', { timeout }, async (t) => {
  const worker = await startScriptedWorker([hang], { t })
  const args = ['--processes', '2', '--max-concurrent-requests', '2', '--queue-size', '1']
  const env = { VLLM_ROUTER_ADMIN_API_KEY: 'root' }
  const router = await routerOver([worker], { t, args, env })
  const ask = async (port: number): Promise<DryRun> => {
    const headers = { authorization: 'Bearer root' }
    const exchange = rawRequest({ port, path: '/debug/route', headers, json })
    return JSON.parse((await within(5000, exchange.text(), 'a dry run')).text)
  }
  const load = () => rawRequest({ port: router.apiPort, path: '/v1/chat/completions', json })
  const seen: unknown[] = []
  for (const [inFlight, waiting] of [
    [0, 0],
    [1, 0],
    [2, 0],
    [2, 1],
  ] as const) {
    await eventually(
      async () => {
        const { limits } = await ask(router.operationsPort)
        return limits.in_flight === inFlight && limits.waiting === waiting
      },
      { what: `${inFlight} in flight and ${waiting} waiting` },
    )
    // The operations listener, and the API of whichever process.
    for (const port of [router.operationsPort, router.apiPort]) {
      const { outcome, refused, process, choice, limits } = await ask(port)
      assert.ok(process === 1 || process === 2)
      assert.equal(choice?.worker, worker.url)
      assert.equal(limits.max_in_flight, 2)
      seen.push([outcome, refused?.code])
    }
    load()
  }
  const expected = [['sent'], ['sent'], ['waits'], ['refused', 'queue_full']]
  assert.deepEqual(
    seen,
    expected.flatMap(([outcome, code]) => [
      [outcome, code],
      [outcome, code],
    ]),
  )
})
