/** What a program that embeds the gateway meets first: it is ready when it says so, and its own mistakes are named. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import pino from 'pino'
import { createGateway } from '../../app/index.ts'
import type { SelectionPolicy } from '../../policies/selection/policy.ts'
import { within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { answer, hang, wait } from '../support/wire.ts'

const timeout = 30_000
const json = { model: 'test-model', messages: [{ role: 'user', content: 'hello' }] }
const ports = { port: 0, prometheusPort: 0 }

async function ask(api: string): Promise<number> {
  const exchange = rawRequest({ port: Number(new URL(api).port), path: '/v1/chat/completions', json })
  return (await within(5000, exchange.text(), 'an answer')).status
}

describe('a gateway that has started', () => {
  test('serves the first request, although its workers took their time', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    worker.route('GET /health', [wait(300), ...answer(200)])
    const gateway = await createGateway({ ...ports, workerUrls: [worker.url] })
    t.after(() => gateway.close())
    const { api } = await gateway.start()
    assert.equal((await gateway.control.vitals()).available, 1)
    assert.equal(await ask(api), 200)
  })

  test('does not wait for a worker that never answers', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    worker.route('GET /health', [hang])
    const gateway = await createGateway({ ...ports, workerUrls: [worker.url], healthCheckTimeoutSecs: 60 })
    t.after(() => gateway.close())
    await within(5000, gateway.start(), 'the start')
    assert.equal((await gateway.control.vitals()).available, 0)
  })
})

describe("a policy of the user's own", () => {
  async function withPolicy(t: Scope, policy: unknown) {
    const worker = await startScriptedWorker(undefined, { t })
    const lines: string[] = []
    const log = pino({ level: 'error' }, { write: (line: string) => void lines.push(line) })
    const gateway = await createGateway(
      {
        ...ports,
        workerUrls: [worker.url],
        policy: 'mine',
        selectionPolicies: { mine: () => policy as SelectionPolicy },
      },
      { log },
    )
    t.after(() => gateway.close())
    return { lines, ...(await gateway.start()) }
  }

  for (const [what, select, says] of [
    ['returns nothing', () => undefined, /\\"mine\\" returned nothing; it must return one of its candidates/],
    ['returns a promise', async (all: unknown[]) => all[0], /\\"mine\\" returned a promise/],
    ['returns what is no candidate', () => ({ id: 'x' }), /\\"mine\\" returned something else/],
    [
      'throws',
      () => {
        throw new Error('oh no')
      },
      /\\"mine\\" threw an error: Error: oh no/,
    ],
  ] as const) {
    test(`that ${what} is named in the log`, { timeout }, async (t) => {
      const { api, lines } = await withPolicy(t, { select })
      assert.equal(await ask(api), 500)
      assert.match(lines.join('\n'), says)
    })
  }

  test('that is none is named at the start', { timeout }, async (t) => {
    await assert.rejects(withPolicy(t, {}), /the selection policy "mine" has no function select/)
  })
})
