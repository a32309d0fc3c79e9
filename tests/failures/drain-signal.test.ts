/** SIGTERM at a router that is busy: nobody new is sent to it, everybody it has is served, and it says good-bye properly. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Api, apiRequest, apis } from '../support/api-bodies.ts'
import { eventually, pause, within } from '../support/deadline.ts'
import { assertQuiet, postLines, tally } from '../support/failure-books.ts'
import { startLagMeter } from '../support/lag-meter.ts'
import { openConnection, type RawExchange, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { sized } from '../support/soak.ts'
import { parseSse } from '../support/sse-parser.ts'
import { answer, chunk, hang, repeat, type Script, streamHead } from '../support/wire.ts'

const [chat] = apis as readonly [Api, ...Api[]]
/** Seconds of grace. */
const cutShort = sized({ streams: 200, graceSecs: 5 }, { streams: 50, graceSecs: 0.5 })

describe('SIGTERM with time enough', () => {
  const streams = 200
  const streamMs = sized(20_000, 2000)
  const tokenMs = 100

  test(`${streams} streams end whole, readiness says no at once, new requests are served until it has settled`, {
    timeout: 120_000,
  }, async (t) => {
    const options = { tokens: streamMs / tokenMs, tokenMs, t }
    const workers = await Promise.all([0, 1].map(() => startScriptedWorker(undefined, options)))
    const args = ['--shutdown-grace-secs', '30', '--shutdown-settle-secs', '1']
    const router = await routerOver(workers, { args, t })
    const all = Array.from({ length: streams }, () => ask(router, { stream: true }))
    await within(20_000, Promise.all(all.map((stream) => stream.firstEvents(2))), 'all streams have begun')

    const idle = [router.apiPort, router.operationsPort].map((port) => openConnection({ port }))
    for (const connection of idle)
      await within(5000, connection.request({ path: '/liveness' }).text(), 'liveness')

    const lag = startLagMeter(t)
    const signalAt = performance.now()
    router.signal('SIGTERM')
    const notReadyAt = await Promise.all([router.apiPort, router.operationsPort].map(notReady))
    const late = await within(5000, ask(router, { stream: false }).text(), 'an answer while it settles')
    assert.equal(late.status, 200)
    const closedAt = await refused(router)

    const texts = await within(60_000, Promise.all(all.map((stream) => stream.text())), 'all streams')
    const truncated = texts.filter(({ text }) => !text.endsWith('data: [DONE]\n\n'))
    assert.equal(truncated.length, 0, truncated[0]?.text.slice(-300))
    const { code } = await within(10_000, router.exited, 'the end of the router')
    const overAt = performance.now()
    const since = (at: number): string => `${(at - signalAt).toFixed(0)} ms`
    t.diagnostic(
      `not ready after ${notReadyAt.map(since)}, closed after ${since(closedAt)}, over after ${since(overAt)}`,
    )
    assert.equal(code, 0)
    assert.ok(
      notReadyAt.every((at) => at - signalAt <= 100 + lag.worstUntil(at)),
      `not ready after ${notReadyAt.map(since)} (machine: ${lag.worst} ms)`,
    )
    assert.ok(closedAt - signalAt >= 900, `closed after ${since(closedAt)}`)
    const idleClosed = await within(
      1000,
      Promise.all(idle.map(({ closed }) => closed)),
      'the end of idle connections',
    )
    assert.deepEqual(
      idleClosed.map(({ how }) => how),
      ['fin', 'fin'],
    )
    // Connections that stay open in case of another request must not keep it from ending.
    assert.ok(overAt - signalAt < streamMs + 3000, `over after ${since(overAt)}`)
    assert.deepEqual(tally(postLines(router).map(({ end_reason: end }) => String(end))), {
      completed: streams + 1,
    })
    assertQuiet(router)
  })

  test('a client that reads slowly gets its last bytes, although the worker has long sent them', {
    timeout: 60_000,
  }, async (t) => {
    // More than the kernel's buffers on the way take, and held whole: the router has the rest when the worker is done.
    const body = JSON.stringify({ text: 'x'.repeat(24_000_000) })
    const worker = await startScriptedWorker(answer(200, body), { t })
    const grace = ['--shutdown-grace-secs', '20', '--shutdown-settle-secs', '0']
    const router = await routerOver([worker], { args: [...grace, '--max-hold-bytes', '32MiB'], t })
    const plain = ask(router, { stream: false })
    await within(5000, plain.head, 'the head of the answer')
    plain.pauseReading()
    await eventually(() => postLines(router).length === 1, { what: 'the end of the request in the books' })
    router.signal('SIGTERM')
    await pause(3000)
    plain.resume()
    assert.equal((await within(15_000, plain.text(), 'the rest of the answer')).text.length, body.length)
    assert.equal((await within(10_000, router.exited, 'the end of the router')).code, 0)
  })
})

test(`SIGTERM with ${cutShort.graceSecs} s for ${cutShort.streams} longer streams: each gets the draining event`, {
  timeout: 60_000,
}, async (t) => {
  const { streams, graceSecs } = cutShort
  const workers = await Promise.all(
    [0, 1].map(() => startScriptedWorker(undefined, { tokens: 1000, tokenMs: 100, t })),
  )
  const args = ['--shutdown-grace-secs', String(graceSecs), '--shutdown-settle-secs', '0']
  const router = await routerOver(workers, { args, t })
  const all = Array.from({ length: streams }, () => ask(router, { stream: true }))
  await within(20_000, Promise.all(all.map((stream) => stream.firstEvents(2))), 'all streams have begun')
  const { code } = await router.stop('SIGTERM', graceSecs * 1000 + 10_000)
  assert.equal(code, 0)
  for (const stream of all) {
    const { text } = await within(5000, stream.text(), 'the end of a stream')
    assertDrainingEvent(chat, text)
  }
  assert.deepEqual(tally(postLines(router).map(({ end_reason: end }) => String(end))), { draining: streams })
  assertQuiet(router)
})

describe('SIGTERM with too little time', () => {
  /** One request in each phase, for each API. */
  const cases = apis.flatMap((api) =>
    (['running', 'held', 'plain'] as const)
      .filter((phase) => api.streams || phase === 'plain')
      .map((phase) => ({ api, phase, id: `${api.name}-${phase}` })),
  )

  test('running streams get the draining event, everything else an answer 503', {
    timeout: 60_000,
  }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    worker.use((request): Script => {
      const { prelude, tokens } = worker.answerTo(request)
      const phase = request.header('x-request-id')?.split('-')[1]
      if (phase === 'plain') return [hang]
      const content = phase === 'running' ? tokens.slice(0, 2) : []
      return [streamHead(), ...[...prelude, ...content].map(chunk), hang]
    })
    const args = [
      '--shutdown-grace-secs',
      '1.5',
      '--shutdown-settle-secs',
      '0.5',
      '--max-concurrent-requests',
      String(cases.length),
    ]
    const router = await routerOver([worker], { args, t })
    const sent = cases.map(({ api, phase, id }) => ({
      api,
      phase,
      exchange: ask(router, { api, id, stream: phase !== 'plain' }),
    }))
    await within(5000, worker.received(cases.length), 'all requests at the worker')
    const running = sent.filter(({ phase }) => phase === 'running')
    await within(5000, Promise.all(running.map(({ exchange }) => exchange.head)), 'all streams have begun')
    const queued = apis.map((api) => ({ api, exchange: ask(router, { api, id: `${api.name}-queued` }) }))
    await eventually(async () => (await router.metric('vllm_router_queue_depth')) === queued.length, {
      what: 'a queue',
    })

    router.signal('SIGTERM')
    const signalAt = performance.now()
    for (const { api, exchange } of running) {
      const { text } = await within(5000, exchange.text(), `the stream of ${api.name}`)
      assertDrainingEvent(api, text)
    }
    for (const { api, exchange } of [...sent.filter(({ phase }) => phase !== 'running'), ...queued]) {
      const { status, text } = await within(5000, exchange.text(), `an answer of ${api.name}`)
      assert.equal(status, 503)
      assert.equal(JSON.parse(text).error.code, 'draining', text)
      assert.match((await exchange.head).header('retry-after') ?? '', /^\d+$/)
    }
    const { code } = await within(10_000, router.exited, 'the end of the router')
    const tookMs = performance.now() - signalAt
    assert.equal(code, 0)
    assert.ok(tookMs >= 1400 && tookMs < 3000, `over after ${tookMs.toFixed(0)} ms`)
    assert.deepEqual(tally(postLines(router).map(({ end_reason: end }) => String(end))), {
      draining: cases.length + queued.length,
    })
    assert.equal(worker.requests.length, cases.length, 'nothing queued reached the worker')
    const open = worker.requests.filter(({ connection }) => connection.closedAt === undefined)
    assert.equal(open.length, 0, 'requests left running on the worker')
    assertQuiet(router)
  })

  test('a client that takes nothing off its connection does not keep the router from ending', {
    timeout: 60_000,
  }, async (t) => {
    const event = chunk(`data: {"choices":[{"index":0,"delta":{"content":"${'x'.repeat(10_000)}"}}]}\n\n`)
    const worker = await startScriptedWorker([streamHead(), repeat(event)], { t })
    const args = ['--shutdown-grace-secs', '1', '--shutdown-settle-secs', '0']
    const router = await routerOver([worker], { args, t })
    const stream = ask(router, { stream: true })
    await within(5000, stream.firstEvents(1), 'the stream')
    stream.pauseReading()
    const { code } = await router.stop('SIGTERM', 5000)
    assert.equal(code, 0)
    assert.deepEqual(tally(postLines(router).map(({ end_reason: end }) => String(end))), { draining: 1 })
  })
})

function assertDrainingEvent(api: Api, text: string): void {
  const events = parseSse(text)
  const last = events.at(-1)
  const data = JSON.parse(last?.data ?? 'null')
  assert.ok(!text.includes('[DONE]'), text)
  if (api.dialect === 'openai') assert.equal(data.error.code, 'draining')
  else if (api.dialect === 'anthropic') {
    assert.equal(last?.event, 'error')
    assert.equal(data.type, 'error')
    assert.equal(data.error.code, 'draining')
  } else {
    assert.equal(last?.event, 'response.failed')
    assert.equal(data.type, 'response.failed')
    assert.equal(data.response.error.code, 'draining')
  }
}

function ask(
  router: RouterProcess,
  options: { readonly api?: Api; readonly id?: string; readonly stream?: boolean },
): RawExchange {
  return rawRequest({ port: router.apiPort, ...apiRequest(options) })
}

/** When `/readiness` first said no. */
function notReady(port: number): Promise<number> {
  const look = async (): Promise<number | false> => {
    const { status, text } = await rawRequest({ port, path: '/readiness' }).text()
    return status === 503 && text.includes('draining') && performance.now()
  }
  return eventually(look, { what: `not ready on port ${port}`, everyMs: 5 })
}

/** When the API first refused a connection. */
function refused(router: RouterProcess): Promise<number> {
  const look = async (): Promise<number | false> => {
    const { connection } = rawRequest({ port: router.apiPort, path: '/liveness' })
    const open = await connection.opened.then(
      () => true,
      () => false,
    )
    return !open && performance.now()
  }
  return eventually(look, { what: 'a refused connection' })
}
