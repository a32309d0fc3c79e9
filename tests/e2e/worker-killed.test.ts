/** A worker is killed under load, and started again: no client notices that had got no byte yet. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually, pause, within } from '../support/deadline.ts'
import { quietPort } from '../support/quiet-port.ts'
import { type RawExchange, rawRequest } from '../support/raw-client.ts'
import { routerOver, untilAvailable } from '../support/router-over.ts'
import { startRouter } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { send } from '../support/send-all.ts'
import { startSim } from '../support/sim-process.ts'

const timeout = 60_000
const requestsPerSecond = 50
const tokens = 10

/** A simulated vLLM server that takes 100 ms to its first token, on a port that nobody takes while it is down. */
async function worker(t: Scope, id: string) {
  const pace = ['--ttft-ms', '100', '--token-ms', '5']
  return startSim({ t, port: await quietPort(), args: ['--worker-id', id, ...pace] })
}

interface Sent {
  readonly at: number
  readonly stream: boolean
  readonly exchange: RawExchange
}

/** Plain requests and streams in turn, on a schedule that does not wait for answers. */
class Load {
  readonly sent: Sent[] = []
  readonly #port: number
  #timer: ReturnType<typeof setInterval> | undefined

  constructor(port: number) {
    this.#port = port
  }

  start(): void {
    const started = performance.now()
    let due = 0
    this.#timer = setInterval(() => {
      // By the clock: a timer that is late sends what it missed.
      for (; due < ((performance.now() - started) / 1000) * requestsPerSecond; due++) this.send(1)
    }, 5)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  send(count: number): void {
    for (let request = 0; request < count; request++) {
      const stream = this.sent.length % 2 === 0
      const json = {
        model: 'facebook/opt-350m',
        prompt: `Test ${this.sent.length}`,
        max_tokens: tokens,
        stream,
      }
      const exchange = rawRequest({ port: this.#port, path: '/v1/completions', json })
      this.sent.push({ at: performance.now(), stream, exchange })
    }
  }
}

/** Whether the answer came whole, or broke after content with the event that says so; anything else throws. */
async function endOf({ stream, exchange }: Sent): Promise<'whole' | 'broken after content'> {
  const head = await exchange.head
  const { bytes, complete, fault } = await exchange.body
  assert.equal(head.status, 200, bytes.toString())
  assert.ok(complete, fault)
  if (!stream) {
    assert.equal(JSON.parse(bytes.toString()).usage.completion_tokens, tokens)
    return 'whole'
  }
  const events = exchange.events.map(({ data }) => data)
  if (events.at(-1) === '[DONE]') {
    assert.equal(events.length, tokens + 1)
    return 'whole'
  }
  assert.equal(JSON.parse(events.at(-1) ?? '{}').error?.code, 'worker_lost')
  assert.ok(events.length > 1, 'content before the error')
  return 'broken after content'
}

describe('seven workers under 50 requests a second', () => {
  test('one of them is killed, and comes back', { timeout }, async (t) => {
    const workers = await Promise.all([1, 2, 3, 4, 5, 6, 7].map((n) => worker(t, `worker-${n}`)))
    const router = await routerOver(workers, { t })
    const victim = workers[3] as (typeof workers)[number]
    const load = new Load(router.apiPort)
    t.after(() => load.stop())
    load.start()
    await pause(700)

    // Several for each worker, which will be in prefill when it dies.
    load.send(28)
    await pause(50)
    const killedAt = performance.now()
    await victim.kill('SIGKILL')
    await eventually(
      async () => {
        const [health, breaker] = await Promise.all([
          router.metric('vllm_router_worker_health', { worker: victim.url }),
          router.metric('vllm_router_cb_state', { worker: victim.url }),
        ])
        return health === 0 || breaker === 1
      },
      { what: 'metrics that show the dead worker' },
    )
    const healthIs = async (said: string) =>
      (await send(router.operationsPort, { path: '/health' })).body.bytes.equals(Buffer.from(said))
    await eventually(() => healthIs(`Unhealthy servers: [${victim.url}]`), {
      what: 'a health that names the dead worker',
    })
    await pause(300)

    await victim.restart()
    const backAt = performance.now()
    const first = await eventually(() => firstBy(load.sent, 'worker-4', backAt), {
      what: 'an answer of the worker that came back',
      withinMs: 5000,
    })
    assert.ok((first.exchange.firstByteAt ?? Number.POSITIVE_INFINITY) - backAt < 5000)
    await pause(300)
    load.stop()

    const ends = await within(20_000, Promise.all(load.sent.map(endOf)), 'all answers')
    const broken = load.sent.filter((_, index) => ends[index] !== 'whole')
    // Only streams that had begun on the worker when it died.
    assert.ok(broken.every(({ at, stream }) => stream && at < killedAt))
    const heads = await Promise.all(load.sent.map(({ exchange }) => exchange.head))
    const retried = heads.filter((head) => head.header('x-router-attempts') !== '1')
    assert.ok(retried.length > 0, 'requests were in prefill on the worker that died')
    assert.ok(retried.every((head) => head.header('x-worker-id') !== 'worker-4'))
    await untilAvailable(router, 7)
    assert.equal(await router.metric('vllm_router_running_requests'), 0)
    assert.equal(
      (await send(router.apiPort, { path: '/health' })).body.bytes.toString(),
      'All servers healthy',
    )
  })
})

const workerOf = new WeakMap<RawExchange, string | undefined>()

/** The first answer that a worker gave to a request sent after `since`; undefined as long as there is none. */
function firstBy(sent: readonly Sent[], id: string, since: number): Sent | undefined {
  for (const { exchange } of sent) {
    if (workerOf.has(exchange)) continue
    workerOf.set(exchange, undefined)
    void exchange.head.then((head) => workerOf.set(exchange, head.header('x-worker-id')))
  }
  return sent.find(({ at, exchange }) => at > since && workerOf.get(exchange) === id)
}

test('a router that was there before its workers uses them as soon as they are up', {
  timeout,
}, async (t) => {
  const ports = [await quietPort(), await quietPort()]
  const urls = ports.map((port) => `http://127.0.0.1:${port}`)
  const router = await startRouter({ t, args: ['--worker-urls', ...urls] })
  const json = { model: 'facebook/opt-350m', prompt: 'Test', max_tokens: 1 }
  const request = { path: '/v1/completions', json }
  const early = await send(router.apiPort, request)
  assert.equal(early.head.status, 503)
  assert.ok(Number(early.head.header('retry-after')) >= 1)
  assert.equal(JSON.parse(early.body.bytes.toString()).error.code, 'no_available_worker')
  assert.equal((await send(router.apiPort, { path: '/readiness' })).head.status, 503)
  assert.equal((await send(router.apiPort, { path: '/liveness' })).head.status, 200)

  await Promise.all(ports.map((port) => startSim({ t, port })))
  await untilAvailable(router, 2, 5000)
  assert.equal((await send(router.apiPort, request)).head.status, 200)
  assert.equal((await send(router.apiPort, { path: '/readiness' })).head.status, 200)
})
