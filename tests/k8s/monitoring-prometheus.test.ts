/** A real Prometheus scrapes a router that gets all kinds of traffic: every query of every dashboard shows something. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { eventually } from '../support/deadline.ts'
import { filledIn, queriesOf, readDashboards, variableQueries } from '../support/k8s-dashboards.ts'
import { type Prometheus, startPrometheus, withoutPrometheus } from '../support/k8s-prometheus.ts'
import { trusting } from '../support/listener-tls.ts'
import { rawRequest } from '../support/raw-client.ts'
import { untilAvailable } from '../support/router-over.ts'
import { type RouterProcess, startRouter } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { listenerA } from '../support/secure-router.ts'
import { shared } from '../support/shared.ts'
import { closedPort } from '../support/sockets.ts'
import { tenantHash, tenantHeaders } from '../support/tenant-router.ts'

const timeout = 60_000
const dashboards = readDashboards()
const completion = { model: 'facebook/opt-350m', prompt: 'Test', max_tokens: 3 }

interface Watched {
  readonly router: RouterProcess
  readonly prometheus: Prometheus
}

function send(router: RouterProcess, json: unknown, headers: Readonly<Record<string, string>> = {}) {
  return rawRequest({
    ...{ port: router.apiPort, tls: trusting, path: '/v1/completions', json },
    headers: { ...tenantHeaders, ...headers },
  }).body
}

/** Whatever makes a series: answers, streams, wrong requests, failing workers, a full queue, others that go first. */
async function traffic(router: RouterProcess): Promise<void> {
  await Promise.all([send(router, completion), send(router, { ...completion, stream: true })])
  await send(router, [])
  await send(router, { model: 'no-such-model', prompt: '' })
  for (let n = 0; n < 3; n++) await send(router, completion, { 'x-sim-fault': 'reset' })
  await send(router, completion, { 'x-sim-fault': 'status:500' })
  await send(router, completion, { 'x-sim-fault': 'status:503' })
  const slow = { ...completion, max_tokens: 20, stream: true }
  await Promise.all(Array.from({ length: 5 }, () => send(router, slow)))
  const low = Array.from({ length: 4 }, () => send(router, slow, { 'x-priority': 'low' }))
  await Promise.all([...low, send(router, slow), send(router, slow)])
}

async function startWatched(t: Scope): Promise<Watched> {
  const home = await mkdtemp(join(tmpdir(), 'vllm-router-watched-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const keys = join(home, 'keys.yaml')
  await writeFile(
    keys,
    `[{ name: team-a, hash: '${tenantHash}', limits: { requests-per-minute: 1000000 } }]\n`,
  )
  const list = join(home, 'workers.yaml')
  // A source of workers that is asked again and again, so that discovery has an age.
  await writeFile(list, '[]\n')
  const caps = ['--max-concurrent-requests', '2', '--queue-size', '2']
  // Of a policy that knows of no caches, the shares of hits are no numbers.
  const policy = ['--policy', 'cache_aware']
  // Neither is there: what is lost, and that it is not used, are series as well.
  const { port, release } = await closedPort()
  t.after(release)
  const absent = [
    '--limits-store',
    `redis://127.0.0.1:${port}`,
    '--otlp-traces-endpoint',
    `http://127.0.0.1:${port}`,
  ]
  const tls = ['--tls-cert-file', listenerA.tlsCertFile, '--tls-key-file', listenerA.tlsKeyFile]
  const router = await startRouter({
    t,
    args: [
      '--demo',
      '2',
      ...caps,
      ...policy,
      '--worker-urls-file',
      list,
      '--keys-file',
      keys,
      ...absent,
      ...tls,
    ],
  })
  await untilAvailable(router, 2)
  const prometheus = await startPrometheus(router.operationsPort, t)
  // Before the traffic: a rate needs a value from before.
  await eventually(async () => (await prometheus.range('up == 1')).length > 0, {
    what: 'the first scrape',
    // Prometheus looks at its targets for the first time after 5 s.
    withinMs: 20_000,
    everyMs: 100,
  })
  return { router, prometheus }
}

async function isShown(prometheus: Prometheus, expression: string): Promise<boolean> {
  const series = await prometheus.range(filledIn(expression, '5s'))
  return series.some(({ values }) => values.length > 0)
}

describe('a running Prometheus', { skip: withoutPrometheus }, () => {
  const watched = shared(startWatched)

  test('shows something for every query of every dashboard', { timeout }, async () => {
    const { router, prometheus } = await watched()
    let missing = queriesOf(dashboards)
    assert.ok(missing.length > 40)
    await eventually(
      async () => {
        await traffic(router)
        const shown = await Promise.all(missing.map(({ expr }) => isShown(prometheus, expr)))
        missing = missing.filter((_query, index) => !shown[index])
        if (missing.length > 0)
          throw new Error(missing.map(({ where, expr }) => `${where}: ${expr}`).join('\n'))
        return true
      },
      { what: 'data for every query', withinMs: 30_000, everyMs: 500 },
    )
  })

  test('has values for every variable of every dashboard', { timeout }, async () => {
    const { prometheus } = await watched()
    for (const { where, series, label } of variableQueries(dashboards)) {
      const found = await prometheus.series(filledIn(series, '5s'))
      assert.ok(
        found.some((labels) => (labels[label] ?? '') !== ''),
        where,
      )
    }
  })

  test('evaluates every rule', { timeout }, async () => {
    const { prometheus } = await watched()
    const states = await eventually(
      async () => {
        const rules = await prometheus.rules()
        return rules.length > 0 && rules.every(({ health }) => health !== 'unknown') && rules
      },
      { what: 'every rule was evaluated' },
    )
    assert.ok(states.length >= 16)
    assert.deepEqual(
      states.filter(({ health }) => health !== 'ok'),
      [],
    )
  })
})
