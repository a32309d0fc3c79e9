/** A configuration is changed while the router runs: what must act at once, what must stay, and what is refused. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ConfigError } from '../../../app/config/problem.ts'
import { type ConfigInput, settings } from '../../../app/config/settings.ts'
import { createGateway, type Gateway } from '../../../app/index.ts'
import { eventually, within } from '../../support/deadline.ts'
import { rawRequest } from '../../support/raw-client.ts'
import type { Scope } from '../../support/scope.ts'
import { type ScriptedWorker, startScriptedWorker } from '../../support/scripted-worker.ts'
import { textsOf } from '../../support/setting-values.ts'
import { answer, chunk, close, lastChunk, streamHead, until } from '../../support/wire.ts'

const timeout = 30_000
const chat = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }] }

interface Kit {
  readonly gateway: Gateway
  readonly workers: readonly ScriptedWorker[]
  readonly change: (options: ConfigInput) => void
  readonly ask: (options?: {
    readonly json?: object
    readonly headers?: [string, string][]
    readonly path?: string
  }) => Promise<{ status: number; text: string; headers: readonly (readonly [string, string])[] }>
  readonly port: number
  readonly metrics: () => Promise<string>
}

async function start(t: Scope, options: ConfigInput = {}, size = 1): Promise<Kit> {
  const workers = await Promise.all(Array.from({ length: size }, () => startScriptedWorker(undefined, { t })))
  const base: ConfigInput = {
    ...{ port: 0, prometheusPort: 0, workerUrls: workers.map(({ url }) => url) },
    ...{ healthCheckIntervalSecs: 0.2 },
    ...options,
  }
  const gateway = await createGateway(base)
  t.after(() => gateway.close())
  const { api, operations } = await gateway.start()
  const port = Number(new URL(api).port)
  return {
    ...{ gateway, workers, port },
    change: (changes) => gateway.reconfigure({ ...base, ...changes }),
    async ask({ json = chat, headers = [], path = '/v1/chat/completions' } = {}) {
      const exchange = rawRequest({ port, path, json, headers })
      const head = await within(10_000, exchange.head, 'a head')
      const { status, text } = await within(10_000, exchange.text(), 'an answer')
      return { status, text, headers: head.headers }
    },
    metrics: async () =>
      (await rawRequest({ port: Number(new URL(operations).port), path: '/metrics' }).text()).text,
  }
}

describe('every setting', () => {
  test('is taken over while the router runs, or refused by its name', { timeout: 60_000 }, async (t) => {
    const gateway = await createGateway({ workerUrls: ['http://127.0.0.1:9'] })
    t.after(() => gateway.close())
    const before = gateway.config
    for (const entry of settings) {
      // These two are wrong without others: tests/app/upstream/worker-tls.test.ts, tests/app/workers/discovery/settings.test.ts.
      if (['config', 'workerClientCert', 'workerClientKey', 'workerCaFile'].includes(entry.key)) continue
      const usual = entry.kind.show(before[entry.key])
      const texts = fc.sample(textsOf(entry), { numRuns: 30, seed: 5 })
      const other = texts.find((text) => text !== usual)
      if (other === undefined) continue
      const wanted = { workerUrls: ['http://127.0.0.1:9'], [entry.key]: other } as ConfigInput
      try {
        gateway.reconfigure(wanted)
        assert.notEqual(entry.restart, true, `${entry.flag} was taken over`)
        const shown = entry.kind.show(gateway.config[entry.key])
        const written = entry.kind.show((await createdConfig(wanted))[entry.key])
        assert.equal(shown, written, entry.flag)
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        const named = error.faults.some(({ name }) => name === `--${entry.flag}` || name === entry.key)
        assert.ok(named, `${entry.flag} ${other}: ${JSON.stringify(error.faults)}`)
        if (entry.restart !== true) assert.doesNotMatch(error.message, /cannot change while/)
      }
      gateway.reconfigure({ workerUrls: ['http://127.0.0.1:9'] })
    }
  })
})

async function createdConfig(options: ConfigInput): Promise<Gateway['config']> {
  const gateway = await createGateway(options)
  await gateway.close()
  return gateway.config
}

describe('a changed setting acts on the next request', () => {
  test('keys of clients, and the key for workers', { timeout }, async (t) => {
    const { change, ask, workers } = await start(t)
    assert.equal((await ask()).status, 200)
    change({ routerApiKeys: 'secret-key', apiKey: 'worker-key' })
    assert.equal((await ask()).status, 401)
    assert.equal((await ask({ headers: [['authorization', 'Bearer secret-key']] })).status, 200)
    assert.equal(workers[0]!.requests.at(-1)?.header('authorization'), 'Bearer worker-key')
    await eventually(() => workers[0]!.probes.at(-1)?.header('authorization') === 'Bearer worker-key', {
      what: 'probes with the key',
    })
    change({})
    assert.equal((await ask()).status, 200)
  })

  test('bounds, deadlines and attempts', { timeout }, async (t) => {
    const { change, ask, workers } = await start(t, {}, 2)
    change({ maxPayloadSize: 10 })
    assert.equal((await ask()).status, 413)
    change({ requestTimeoutSecs: 0.2 })
    for (const worker of workers) worker.use([until(() => new Promise(() => {}))])
    assert.equal((await ask()).status, 504)
    for (const worker of workers) worker.use(answer(500, '{"error":{"message":"boom","code":500}}'))
    change({ retryMaxRetries: 1 })
    assert.equal((await ask()).headers.find(([name]) => name === 'x-router-attempts')?.[1], '1')
    change({ retryMaxRetries: 2 })
    assert.equal((await ask()).headers.find(([name]) => name === 'x-router-attempts')?.[1], '2')
  })

  test('a cap on requests in flight, and a rate', { timeout }, async (t) => {
    const { change, ask, workers } = await start(t)
    const opened = Promise.withResolvers<void>()
    workers[0]!.use([until(opened.promise), ...answer(200, '{}')])
    const first = ask()
    await workers[0]!.received(1)
    change({ maxConcurrentRequests: 1, queueSize: 0 })
    assert.equal((await ask()).status, 429)
    change({})
    opened.resolve()
    assert.equal((await first).status, 200)
    change({ rateLimitTokensPerSecond: 1 })
    await ask()
    assert.equal((await ask()).status, 429)
  })

  test('a cap for each worker, and thresholds of breakers', { timeout }, async (t) => {
    const { change, ask, workers, gateway } = await start(t)
    workers[0]!.use([close])
    change({ cbFailureThreshold: 1, retryMaxRetries: 1 })
    await ask()
    await eventually(async () => (await gateway.control.workers())[0]?.breaker.state !== 'closed', {
      what: 'an open breaker',
    })
    change({ cbFailureThreshold: 50, retryMaxRetries: 1 })
    assert.equal((await gateway.control.workers())[0]?.breaker.state, 'closed')
    change({ disableCircuitBreaker: true })
    assert.equal((await gateway.control.workers())[0]?.breaker.state, 'disabled')
    change({ maxConcurrentRequestsPerWorker: 1 })
    const opened = Promise.withResolvers<void>()
    workers[0]!.use([until(opened.promise), ...answer(200, '{}')])
    const first = ask()
    await eventually(async () => (await gateway.control.workers())[0]?.unavailable_reason === 'full', {
      what: 'a full worker',
    })
    opened.resolve()
    await first
  })

  test('the policy, and names of models', { timeout }, async (t) => {
    const { change, ask, metrics } = await start(t, {}, 2)
    await ask()
    change({ policy: 'least_inflight', modelAlias: 'gpt=test-model' })
    assert.equal((await ask({ json: { ...chat, model: 'gpt' } })).status, 200)
    const text = await metrics()
    assert.match(text, /policy_decisions_total\{policy="least_inflight"/)
    assert.doesNotMatch(text, /policy_decisions_total\{policy="round_robin"/)
    change({})
    assert.equal((await ask({ json: { ...chat, model: 'gpt' } })).status, 404)
  })

  test('how often workers are probed', { timeout }, async (t) => {
    const { change, workers } = await start(t, { healthCheckIntervalSecs: 3600 })
    const before = workers[0]!.probes.length
    change({ healthCheckIntervalSecs: 0.05, healthCheckEndpoint: '/ping' })
    // The pause that has begun is over first, unless the worker is asked for another reason.
    assert.ok(workers[0]!.probes.length - before <= 1)
  })
})

describe('what runs goes on', () => {
  test('a stream, with the workers taken out and put back beneath it', { timeout }, async (t) => {
    const { change, workers, port, gateway } = await start(t, {}, 2)
    const next = Promise.withResolvers<void>()
    const event = 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    for (const worker of workers)
      worker.use([
        streamHead(),
        chunk(event),
        until(next.promise),
        chunk(`${event}data: [DONE]\n\n`),
        lastChunk,
      ])
    const exchange = rawRequest({ port, path: '/v1/chat/completions', json: { ...chat, stream: true } })
    assert.equal((await within(5000, exchange.head, 'a head')).status, 200)
    change({ workerUrls: [], policy: 'random', routerApiKeys: 'new-key' })
    assert.deepEqual(await gateway.control.workers(), [])
    change({})
    next.resolve()
    const { text } = await within(5000, exchange.text(), 'the rest')
    assert.equal(text, `${event}${event}data: [DONE]\n\n`)
    assert.equal((await gateway.control.workers()).length, 2)
  })

  test('what is known of workers, unless it is about them', { timeout }, async (t) => {
    const { change, ask, workers, gateway } = await start(t, { cbFailureThreshold: 1, retryMaxRetries: 1 }, 2)
    workers[0]!.use([close])
    workers[1]!.use([close])
    await ask()
    const open = async () =>
      (await gateway.control.workers()).filter(({ breaker }) => breaker.state !== 'closed').length
    await eventually(async () => (await open()) === 1, { what: 'an open breaker' })
    const before = (await gateway.control.workers()).map(({ id, health }) => [id, health])
    change({
      cbFailureThreshold: 1,
      retryMaxRetries: 1,
      logLevel: 'debug',
      maxPayloadSize: '1MiB',
      workerUrls: workers.map(({ url }) => url),
    })
    assert.equal(await open(), 1)
    assert.deepEqual(
      (await gateway.control.workers()).map(({ id, health }) => [id, health]),
      before,
    )
  })

  test('a gateway that was stopped looks for no workers after a change', { timeout }, async (t) => {
    const { gateway, change } = await start(t)
    const other = await startScriptedWorker(undefined, { t })
    await gateway.close()
    change({ workerUrls: [other.url] })
    const urls = (await gateway.control.workers()).map(({ url }) => url)
    assert.ok(!urls.includes(other.url), String(urls))
  })

  test('a wrong configuration changes nothing', { timeout }, async (t) => {
    const { gateway, ask } = await start(t)
    const before = gateway.config
    assert.throws(() => gateway.reconfigure({ policy: 'nope' }), ConfigError)
    assert.throws(() => gateway.reconfigure({ ...before, port: before.port + 1 }), /--port.*cannot change/s)
    assert.throws(
      () => gateway.reconfigure({ ...before, serviceDiscovery: true, selector: 'a=b' }),
      ConfigError,
    )
    assert.equal(gateway.config, before)
    assert.equal((await ask()).status, 200)
  })
})
