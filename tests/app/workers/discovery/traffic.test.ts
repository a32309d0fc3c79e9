/** Requests and streams through a router whose workers come and go as pods. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { ConfigInput } from '../../../../app/config/settings.ts'
import { systemClock } from '../../../../app/runtime/clock.ts'
import { eventually, eventuallyHolds, pause, within } from '../../../support/deadline.ts'
import { fastClock } from '../../../support/discovering.ts'
import { type FakeKubernetes, startFakeKubernetes } from '../../../support/fake-kubernetes.ts'
import { type PodOptions, pod } from '../../../support/kubernetes-objects.ts'
import { metricValue, parseMetrics } from '../../../support/metrics.ts'
import { seeded } from '../../../support/random.ts'
import { rawRequest } from '../../../support/raw-client.ts'
import { startRouter } from '../../../support/router-process.ts'
import {
  type ScriptedWorker,
  type ScriptedWorkerOptions,
  startScriptedWorker,
} from '../../../support/scripted-worker.ts'
import { startTcpProxy } from '../../../support/tcp-proxy.ts'
import { testGateway } from '../../../support/test-gateway.ts'

const chat = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }] }

/** A pod whose container is a scripted worker: the port has a name, each pod its own number. */
interface PodWorker extends ScriptedWorker {
  readonly pod: (more?: Partial<PodOptions>) => ReturnType<typeof pod>
}

async function startPods(t: TestContext, count: number, options: ScriptedWorkerOptions = {}) {
  const workers = Array.from({ length: count }, async (_, index): Promise<PodWorker> => {
    const worker = await startScriptedWorker(undefined, { t, ...options })
    const ports = [{ name: 'http', containerPort: worker.port }]
    return Object.assign(worker, { pod: (more = {}) => pod({ name: `vllm-${index}`, ports, ...more }) })
  })
  return await Promise.all(workers)
}

interface StartOptions {
  readonly config?: ConfigInput
  /** How many times as fast the router’s clock is. */
  readonly speed?: number
  /** Of the API server, when it is not the real one. */
  readonly port?: number
}

async function startGateway(t: TestContext, api: FakeKubernetes, { config, speed, port }: StartOptions = {}) {
  const gateway = await testGateway(
    {
      port: 0,
      prometheusPort: 0,
      serviceDiscovery: true,
      selector: 'app=vllm',
      serviceDiscoveryPort: 'http',
      serviceDiscoveryNamespace: 'ml',
      serviceDiscoveryApiServer: port === undefined ? api.url : `https://127.0.0.1:${port}`,
      serviceDiscoveryCredentials: api.credentials,
      workerStartupCheckInterval: 0.05,
      ...config,
    },
    { clock: speed === undefined ? systemClock : fastClock(speed), random: seeded(1) },
  )
  const urls = await gateway.start()
  t.after(() => gateway.close())
  const [apiPort, operationsPort] = [urls.api, urls.operations].map((url) => Number(new URL(url).port))
  const metrics = async () =>
    parseMetrics((await rawRequest({ port: operationsPort ?? 0, path: '/metrics' }).text()).text)
  return {
    ask: (stream = false) =>
      rawRequest({ port: apiPort ?? 0, path: '/v1/chat/completions', json: { ...chat, stream } }),
    metric: async (name: string, labels = {}) => metricValue(await metrics(), `vllm_router_${name}`, labels),
    available: (count: number) =>
      eventually(async () => metricValue(await metrics(), 'vllm_router_active_workers') === count, {
        what: `${count} available workers`,
      }),
    pool: gateway.registry.pool,
  }
}

/** Requests one after the other until told; each must be answered with 200. */
function keepAsking(ask: () => { text(): Promise<{ status: number }> }) {
  let over = false
  let answered = 0
  const loop = (async () => {
    while (!over) {
      const { status } = await within(10_000, ask().text(), 'an answer')
      assert.equal(status, 200)
      answered += 1
      await pause(5)
    }
  })()
  return async () => {
    over = true
    await loop
    return answered
  }
}

describe('pods that go', () => {
  test('no request reaches a pod later than 2 s after its removal, whatever the watch loses', {
    timeout: 60_000,
  }, async (t) => {
    const api = await startFakeKubernetes({ t })
    const pods = await startPods(t, 7)
    for (const worker of pods) api.cluster.put(worker.pod())
    const config = { serviceDiscoveryRelistSecs: 1 }
    const { ask, available } = await startGateway(t, api, { config })
    await available(7)
    api.fail({ lose: 0.4, duplicate: 0.2, reorder: 0.2, cut: 0.1, status500: 0.2 })
    const stops = [1, 2, 3].map(() => keepAsking(ask))
    const removed = new Map<PodWorker, number>()
    // The containers run on and would answer: only the router’s knowledge keeps requests away.
    for (const worker of pods.slice(0, 5)) {
      await pause(300)
      api.cluster.delete(worker.pod())
      removed.set(worker, performance.now())
    }
    await pause(3500)
    await Promise.all(stops.map((stop) => stop()))
    for (const [worker, at] of removed) {
      const late = worker.requests.filter((request) => request.at > at + 2000)
      assert.equal(late.length, 0, `${late.length} requests after 2 s`)
      assert.ok(worker.requests.length > 0)
    }
    for (const worker of pods.slice(5)) assert.ok(worker.requests.length > 0)
  })

  test('no stream of a terminating pod is cut: not by the drain, not by its end in the API', {
    timeout: 30_000,
  }, async (t) => {
    const api = await startFakeKubernetes({ t })
    const [going, staying] = await startPods(t, 2, { tokens: 60, tokenMs: 25 })
    if (going === undefined || staying === undefined) assert.fail()
    api.cluster.put(going.pod())
    const { ask, available, pool, metric } = await startGateway(t, api)
    await available(1)
    const streams = [1, 2, 3, 4].map(() => ask(true))
    await Promise.all(streams.map((stream) => within(5000, stream.firstEvents(3), 'the first tokens')))
    api.cluster.put(staying.pod())
    await available(2)

    api.cluster.put(going.pod({ terminating: true }))
    await eventually(() => pool.workers[0]?.draining, { what: 'the drain' })
    for (let count = 0; count < 5; count++) assert.equal((await ask().text()).status, 200)
    assert.equal(going.requests.length, 4, 'nothing new for the one that goes')
    assert.equal(await metric('running_requests', { worker: going.url }), 4)

    api.cluster.put(going.pod({ terminating: true, ready: false }))
    await eventually(() => pool.workers.length === 1, { what: 'the removal' })
    api.cluster.delete(going.pod())
    const ended = streams.filter(({ endedAt }) => endedAt !== undefined)
    assert.equal(ended.length, 0, 'they still run')
    for (const stream of streams) {
      const { status, text } = await within(10_000, stream.text(), 'the end of a stream')
      assert.equal(status, 200)
      assert.match(text, /data: \[DONE\]\n\n$/)
      assert.doesNotMatch(text, /"error"/)
    }
    assert.equal(await metric('discovery_workers', { source: 'kubernetes' }), 1)
  })
})

test('an API server that is gone for a minute: traffic goes on, and the metrics say so', {
  timeout: 60_000,
}, async (t) => {
  const api = await startFakeKubernetes({ t })
  const line = await startTcpProxy({ target: api.port, t })
  const pods = await startPods(t, 3)
  for (const worker of pods) api.cluster.put(worker.pod())
  // A minute of the router is six seconds of the test.
  const { ask, metric, available } = await startGateway(t, api, { speed: 10, port: line.port })
  await available(3)
  const age = async () => (await metric('discovery_age_seconds', { source: 'kubernetes' })) ?? Number.NaN
  const errors = async () => (await metric('discovery_errors_total', { source: 'kubernetes' })) ?? Number.NaN
  assert.ok((await age()) < 35, 'fresh')
  assert.equal(await errors(), 0)

  const stop = keepAsking(ask)
  await line.refuse()
  line.resetAll()
  const goneAt = performance.now()
  await eventually(async () => (await age()) > 60, { what: 'an age of 60 s', withinMs: 20_000 })
  assert.ok(performance.now() - goneAt > 2500, 'it was not old before')
  assert.ok((await errors()) > 3)
  assert.equal(await metric('discovery_workers', { source: 'kubernetes' }), 3)
  assert.equal(await metric('active_workers'), 3)

  // While it is away, the cluster moves on.
  api.cluster.delete(pods[0]?.pod() ?? assert.fail())
  await line.accept()
  await available(2)
  await eventuallyHolds(async () => assert.ok((await age()) < 35), { what: 'fresh again' })
  assert.ok((await stop()) > 50)
})

test('from 0 to 7 pods under waiting requests: 503 with Retry-After until a worker is there, then all succeed', {
  timeout: 60_000,
}, async (t) => {
  const api = await startFakeKubernetes({ t })
  const pods = await startPods(t, 7)
  const flags = `--service-discovery --selector app=vllm --service-discovery-port http --service-discovery-namespace ml
    --service-discovery-api-server ${api.url} --service-discovery-credentials ${api.credentials}
    --worker-startup-check-interval 0.1`
  const router = await startRouter({ args: flags.split(/\s+/), t })
  await eventually(() => api.open === 1, { what: 'a watch' })
  let refused = 0
  let waiting = 0

  async function client(): Promise<void> {
    for (;;) {
      const exchange = rawRequest({ port: router.apiPort, path: '/v1/chat/completions', json: chat })
      const { status, text } = await within(10_000, exchange.text(), 'an answer')
      if (status === 200) return
      assert.equal(status, 503, text)
      assert.equal(JSON.parse(text).error.code, 'no_available_worker')
      const seconds = Number((await exchange.head).header('retry-after'))
      assert.ok(seconds >= 1 && seconds <= 60, `Retry-After: ${seconds}`)
      refused += 1
      waiting += 1
      await pause(seconds * 1000)
      waiting -= 1
    }
  }
  const clients = Promise.all(Array.from({ length: 40 }, client))
  clients.catch(() => {})
  await eventually(() => waiting === 40, { what: '40 waiting requests' })
  for (const worker of pods) {
    api.cluster.put(worker.pod({ ready: false }))
    await pause(20)
    api.cluster.put(worker.pod())
  }
  await within(20_000, clients, 'all answers')
  assert.ok(refused >= 40)
  await eventually(async () => (await router.metric('vllm_router_active_workers')) === 7, {
    what: '7 workers',
  })
  assert.equal(
    pods.reduce((sum, { requests }) => sum + requests.length, 0),
    40,
  )
  assert.equal(router.stderr(), '')
})

test('a router that starts before its API server says so in its log, and finds the pods later', {
  timeout: 30_000,
}, async (t) => {
  const api = await startFakeKubernetes({ t })
  const line = await startTcpProxy({ target: api.port, t })
  await line.refuse()
  const [worker] = await startPods(t, 1)
  api.cluster.put(worker?.pod() ?? assert.fail())
  const flags = `--service-discovery --selector app=vllm --service-discovery-port http --service-discovery-credentials ${api.credentials}`
  const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(line.port) }
  const router = await startRouter({ args: flags.split(/\s+/), env, t })
  const said = (msg: string) => router.logs().filter((log) => log.msg === msg)
  await eventually(() => said('discovery failed; keeping the last known workers').length > 0, {
    what: 'a warning',
  })
  await line.accept()
  await eventually(() => said('discovery works again').length > 0, { what: 'the good news' })
  await eventually(async () => (await router.metric('vllm_router_active_workers')) === 1, {
    what: 'the worker',
  })
  const [warning, ...more] = said('discovery failed; keeping the last known workers')
  assert.equal(more.length, 0, 'once for one reason')
  assert.equal(warning?.source, 'kubernetes')
  assert.equal(warning?.activity, 'list')
  assert.match(String(warning?.reason), /ECONNREFUSED/)
})
