/** What goes on until it is stopped: requests as they end, workers again and again; also while the router is away. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { operate } from '../../../app/cli/operate.ts'
import { type ConfigInput, createGateway } from '../../../app/index.ts'
import { eventually, within } from '../../support/deadline.ts'
import { rawRequest } from '../../support/raw-client.ts'
import type { Scope } from '../../support/scope.ts'
import { startScriptedWorker } from '../../support/scripted-worker.ts'
import { chunk, lastChunk, streamHead, until } from '../../support/wire.ts'

const timeout = 30_000

async function router(t: Scope, options: ConfigInput = {}) {
  const worker = await startScriptedWorker(undefined, { t })
  const start = async (port = 0) => {
    const gateway = await createGateway({
      ...{ port: 0, prometheusPort: port, workerUrls: [worker.url] },
      ...options,
    })
    t.after(() => gateway.close())
    const { api, operations } = await gateway.start()
    const ask = (more: object = {}) => {
      const json = { model: 'test-model', messages: [{ role: 'user', content: 'Hi' }], ...more }
      const exchange = rawRequest({ port: Number(new URL(api).port), path: '/v1/chat/completions', json })
      return within(10_000, exchange.text(), 'an answer')
    }
    return { gateway, operations, ask }
  }
  return { worker, start, ...(await start()) }
}

function followed(
  t: Scope,
  argv: readonly string[],
  operation: 'requests' | 'workers' = 'requests',
  fetch: typeof globalThis.fetch = globalThis.fetch,
) {
  const said = { out: '', err: '' }
  const stop = new AbortController()
  const ended = operate({
    ...{ operation, argv, env: {}, stop: stop.signal, fetch },
    out: (text) => {
      said.out += text
    },
    err: (text) => {
      said.err += text
    },
  })
  t.after(async () => {
    stop.abort()
    await within(5000, ended, 'the end')
  })
  const lines = () => said.out.split('\n').filter((line) => line !== '')
  const has = (count: number) =>
    eventually(() => lines().length >= count, { what: `${count} lines\n${said.out}` })
  return { said, lines, has, ended, stop }
}

test('requests --follow prints each request once, when it ends, in the order of the ends', {
  timeout,
}, async (t) => {
  const { worker, ask, operations } = await router(t)
  await ask()
  const { lines, has, ended, stop } = followed(t, ['--follow', '--url', operations])
  await has(2)
  assert.match(lines()[0]!, /^AT +STATUS +TIME/)
  const released = Promise.withResolvers<void>()
  worker.use((request) => {
    if (!request.stream) return undefined
    const { prelude, tokens, finish } = worker.answerTo(request)
    const events = [...prelude, ...tokens].map((event) => chunk(event))
    return [
      streamHead(),
      ...events,
      until(released.promise),
      ...finish.map((event) => chunk(event)),
      lastChunk,
    ]
  })
  const slow = ask({ stream: true })
  await worker.received(2)
  await ask({ model: 'made-up' })
  await has(3)
  assert.match(lines()[2]!, / 404 .*model_not_found/)
  released.resolve()
  await slow
  await has(4)
  assert.match(lines()[3]!, / 200 .*completed/)
  await ask()
  await has(5)
  assert.equal(lines().length, 5)
  stop.abort()
  assert.equal(await within(5000, ended, 'the end'), 0)
})

test('requests --follow knows a request again whose start is told a little differently', {
  timeout,
}, async (t) => {
  const { ask, operations } = await router(t)
  await ask()
  let asked = 0
  // The router computes the start anew each time: under load it moves.
  const later: typeof fetch = Object.assign(async (...to: Parameters<typeof fetch>) => {
    const answer = (await (await fetch(...to)).json()) as { requests: { at: string; request_id: string }[] }
    const shifted = answer.requests.map((view) => ({
      ...view,
      at: new Date(Date.parse(view.at) + 40 * asked).toISOString(),
    }))
    asked += 1
    return Response.json({ requests: shifted })
  }, fetch)
  const { lines } = followed(t, ['--follow', '--url', operations], 'requests', later)
  await eventually(() => asked >= 3, { what: 'three answers' })
  assert.equal(lines().length, 2)
})

test('requests --follow keeps to its filters, and says each as one line of JSON', { timeout }, async (t) => {
  const { ask, operations } = await router(t)
  const { said, lines } = followed(t, ['--follow', '--json', '--failed', '--url', operations])
  await ask()
  await ask({ model: 'made-up' })
  await eventually(() => said.out !== '', { what: 'the failed one' })
  const views = lines().map((line) => JSON.parse(line) as { status: number })
  assert.deepEqual(
    views.map(({ status }) => status),
    [404],
  )
})

test('requests --follow says since when the router is away, and goes on when it is back', {
  timeout,
}, async (t) => {
  const { gateway, start, operations } = await router(t)
  const { said, has, lines } = followed(t, ['--follow', '--url', operations])
  await has(1)
  await gateway.close()
  await eventually(() => /^NO ANSWER since \d\d:\d\d:\d\d/m.test(said.err), { what: 'that it is away' })
  const again = await start(Number(new URL(operations).port))
  await again.ask()
  await has(2)
  assert.match(said.err, /the router answers again\n$/)
  assert.match(lines()[1]!, / 200 /)
})

test('a router that is not there from the start is an error', { timeout }, async (t) => {
  const { gateway, operations } = await router(t)
  await gateway.close()
  const { said, ended } = followed(t, ['--follow', '--url', operations])
  assert.equal(await within(5000, ended, 'the end'), 1)
  assert.match(said.err, /no answer from/)
})

test('workers --watch shows them again and again, each time as they are', { timeout }, async (t) => {
  const { worker, gateway, operations } = await router(t)
  const { said } = followed(t, ['--watch', '--url', operations], 'workers')
  const shows = (pattern: RegExp, what: string) =>
    eventually(() => pattern.test(said.out), { what: `${what}\n${said.out}` })
  await shows(/^as of \d\d:\d\d:\d\d\nID +URL +STATE/, 'the first table')
  await gateway.control.setDraining(worker.url, true)
  await shows(/ draining: nothing in flight /, 'the change')
  await gateway.close()
  await shows(/^NO ANSWER since .*\nas of \d\d:\d\d:\d\d\nID/m, 'that it is old')
})

test('a verb does not know the flags of another one', { timeout }, async (t) => {
  const { said, ended } = followed(t, ['--follow'], 'workers')
  assert.equal(await within(5000, ended, 'the end'), 2)
  assert.match(said.err, /--follow/)
})

test('workers --watch --json says once why there is no line', { timeout }, async (t) => {
  const { operations } = await router(t, { adminApiKey: 'root' })
  let asked = 0
  const counting: typeof fetch = Object.assign((...to: Parameters<typeof fetch>) => {
    asked += 1
    return fetch(...to)
  }, fetch)
  const { said, lines } = followed(t, ['--watch', '--json', '--url', operations], 'workers', counting)
  await eventually(() => asked >= 3, { what: 'three questions', withinMs: 15_000 })
  assert.match(said.err, /^REFUSED since .*401.*VLLM_ROUTER_ADMIN_API_KEY.*\n$/)
  assert.deepEqual(lines(), [])
})
