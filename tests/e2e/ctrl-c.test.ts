import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { eventually, pause, within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { startRouter } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'

const timeout = 60_000

/** A router in the middle of a stream of about a second. */
async function streaming(t: TestContext) {
  const worker = await startScriptedWorker(undefined, { tokens: 50, tokenMs: 20, t })
  const router = await startRouter({ args: ['--worker-urls', worker.url], t })
  const available = async () => (await router.metric('vllm_router_active_workers')) === 1
  await eventually(available, { what: 'the worker is available' })
  const json = { model: 'test-model', messages: [{ role: 'user', content: 'hello' }], stream: true }
  const exchange = rawRequest({ port: router.apiPort, path: '/v1/chat/completions', json })
  await within(5000, exchange.firstEvents(3), 'the first events')
  return { router, exchange }
}

test('a Ctrl-C that arrives twice, as it does under `bun run`, lets a stream finish', {
  timeout,
}, async (t) => {
  const { router, exchange } = await streaming(t)
  router.signal('SIGINT')
  const draining = () => router.logs().some(({ msg }) => msg === 'draining')
  await eventually(draining, { what: 'the router drains' })
  router.signal('SIGINT')
  const { text } = await within(10_000, exchange.text(), 'the whole stream')
  assert.match(text, /data: \[DONE\]\n\n$/)
  assert.deepEqual(await within(10_000, router.exited, 'the end'), { code: 0, signal: null })
})

test('a second Ctrl-C stops at once', { timeout }, async (t) => {
  const { router, exchange } = await streaming(t)
  router.signal('SIGINT')
  // As long as a person needs to press again: a shorter time is the same keypress.
  await pause(600)
  router.signal('SIGINT')
  assert.deepEqual(await within(2000, router.exited, 'the end'), { code: 1, signal: null })
  const { complete } = await within(2000, exchange.body, 'the end of the stream')
  assert.equal(complete, false)
})
