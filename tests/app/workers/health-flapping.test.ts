/** A worker whose health check comes and goes each second: it is not taken in and out each time, and no stream is cut. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { detectRuntime } from '../../../app/runtime/detect.ts'
import type {
  HttpClient,
  OutgoingRequest,
  RelayedBody,
  WorkerResponse,
} from '../../../app/upstream/http-client.ts'
import { apiRequest } from '../../support/api-bodies.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { within } from '../../support/deadline.ts'
import { type FakeAnswer, FakeClient } from '../../support/fake-client.ts'
import { HandMadeBody } from '../../support/hand-made-body.ts'
import { metricValue, parseMetrics } from '../../support/metrics.ts'
import { well } from '../../support/probing.ts'
import { seeded } from '../../support/random.ts'
import { sized } from '../../support/soak.ts'
import { testGateway } from '../../support/test-gateway.ts'

const origin = 'http://flapping:8000'
const fiveMinutes = 5 * 60_000
const seeds = Array.from({ length: sized(200, 10) }, (_, index) => index + 1)

for (const [what, bad] of [
  ['an error status', 503],
  ['refused connections', 'refused'],
  ['silence', 'never'],
] as const) {
  test(`${what} every other second for five minutes: at most six changes, and the stream goes on`, {
    timeout: 120_000,
  }, async () => {
    for (const seed of seeds) {
      const { changes, events, running, ends } = await fiveMinutesOfFlapping(bad, seed)
      assert.ok(changes <= 6, `${changes} changes with seed ${seed}`)
      assert.equal(events, 'first token, last token, [DONE]')
      assert.equal(running, 0)
      assert.equal(ends, 1)
    }
  })
}

/** One stream runs from the first minute to the last. It is silent for most of that time: its tokens prove nothing. */
async function fiveMinutesOfFlapping(bad: FakeAnswer, seed: number) {
  const clock = new AppClock()
  const client = new ClientWithOneStream(clock)
  client.probes.answer(origin, (path) => (Math.floor(clock.now() / 1000) % 2 === 0 ? well(path) : bad))
  const runtime = { ...(await detectRuntime()), createClient: () => client }
  const config = { workerUrls: [origin], streamIdleTimeoutSecs: 3600 }
  const gateway = await testGateway(config, { clock, random: seeded(seed), runtime })
  gateway.probe()
  await settled()

  const { path, json } = apiRequest({ model: 'a', stream: true })
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) }
  const answer = gateway.fetch(new Request(`http://router${path}`, init))
  client.say('{"choices":[{"delta":{"content":"first token"}}]}')
  const text = (await within(5000, answer, 'the head of the stream')).text()

  const worker = gateway.registry.pool.workers[0]!
  let changes = 0
  for (let state = worker.health.name; clock.now() < fiveMinutes; state = worker.health.name) {
    await clock.pass(100)
    if (worker.health.name !== state) changes += 1
  }
  client.say('{"choices":[{"delta":{"content":"last token"}}]}')
  client.say('[DONE]')
  client.end()
  const events = (await within(5000, text, 'the end of the stream')).matchAll(
    /(?:"content":"([^"]+)"|(\[DONE\]))/g,
  )
  const metrics = parseMetrics(await (await gateway.operations(new Request('http://router/metrics'))).text())
  await gateway.close()
  return {
    changes,
    events: [...events].map(([, token, done]) => token ?? done).join(', '),
    running: metricValue(metrics, 'vllm_router_running_requests'),
    ends: metricValue(metrics, 'vllm_router_streams_ended_total', { reason: 'completed' }),
  }
}

/** Probes are answered by a script, any POST by a stream whose events the test sends by hand. */
class ClientWithOneStream implements HttpClient {
  readonly connections = 0
  readonly idleConnections = 0
  readonly probes: FakeClient
  readonly #body = new HandMadeBody()

  constructor(clock: AppClock) {
    this.probes = new FakeClient(clock)
  }

  say(data: string): void {
    this.#body.put(`data: ${data}\n\n`)
  }

  end(): void {
    this.#body.put(undefined)
  }

  send(request: OutgoingRequest) {
    if (request.method !== 'POST') return this.probes.send(request)
    const headers = [['content-type', 'text/event-stream']] as const
    const head: WorkerResponse<RelayedBody> = { status: 200, headers, body: this.#body }
    return { head: Promise.resolve(head), abort: () => this.#body.cancel() }
  }

  setTls(): void {}
  async close(): Promise<void> {}
}
