import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { describe, type TestContext, test } from 'node:test'
import { hashOfKey } from '../../middleware/key-ring.ts'
import { startProgram, thisRuntime } from '../support/child.ts'
import { eventually, within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { type RouterProcess, startRouter } from '../support/router-process.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { until } from '../support/wire.ts'

const timeout = 60_000
const chat = { model: 'test-model', messages: [{ role: 'user', content: 'hello' }] }

/** On Node, the examples' `from 'vllm-router'` is the built package; on Bun it is the source. */
function needsBuild(): void {
  const built = new URL('../../dist/app/index.js', import.meta.url)
  if (thisRuntime === 'node' && !existsSync(built))
    assert.fail('dist/ is missing: run `npm run build` first (npm test without a path does it by itself)')
}

async function startExample(
  t: TestContext,
  name: string,
  workers: readonly ScriptedWorker[],
): Promise<RouterProcess> {
  needsBuild()
  const urls = workers.map(({ url }) => url)
  const args = ['--config', `examples/${name}/router.config.ts`, '--worker-urls', ...urls]
  const router = await startRouter({ args, t })
  await ready(router, workers.length)
  return router
}

function ready(router: RouterProcess, workers: number): Promise<unknown> {
  const available = () => router.metric('vllm_router_active_workers')
  return eventually(async () => (await available()) === workers, { what: 'every worker is available' })
}

describe('examples/tenant-header', () => {
  test('lets a known tenant in and names it on the answer, also on a stream', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const router = await startExample(t, 'tenant-header', [worker])
    for (const stream of [false, true]) {
      const exchange = rawRequest({
        port: router.apiPort,
        path: '/v1/chat/completions',
        headers: { 'x-tenant-id': 'acme' },
        json: { ...chat, stream },
      })
      const { status } = await within(5000, exchange.text(), 'the answer')
      const head = await exchange.head
      assert.deepEqual([status, head.header('x-tenant-id')], [200, 'acme'])
    }
    assert.equal(worker.requests.length, 2)
  })

  test('answers others with 403 in the shape of the OpenAI API, and no worker sees them', {
    timeout,
  }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const router = await startExample(t, 'tenant-header', [worker])
    for (const headers of [{}, { 'x-tenant-id': 'evil' }]) {
      const exchange = rawRequest({ port: router.apiPort, path: '/v1/chat/completions', headers, json: chat })
      const { status, text } = await within(5000, exchange.text(), 'the answer')
      const head = await exchange.head
      assert.equal(status, 403, text)
      const { error } = JSON.parse(text) as { error: Record<string, unknown> }
      assert.deepEqual(
        { ...error, message: typeof error.message },
        { message: 'string', type: 'permission_error', param: 'x-tenant-id', code: 'forbidden' },
      )
      assert.ok(head.header('x-request-id'), 'the answer carries a request id')
    }
    assert.equal(worker.requests.length, 0)
    assert.equal(await router.metric('vllm_router_request_errors_total', { error_type: 'forbidden' }), 2)
  })
})

describe('examples/keys', () => {
  test('is a right list, once the hashes are there', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const args = ['--keys-file', 'examples/keys/keys.yaml', '--worker-urls', worker.url]
    const hashes = { CHAT_PRODUCT_HASH: hashOfKey('chat'), NIGHTLY_REPORTS_HASH: hashOfKey('nightly') }
    const router = await startRouter({ args, t, env: hashes })
    await ready(router, 1)
    const asks = async (key: string, path: string) => {
      const headers = { 'x-api-key': key }
      const exchange = rawRequest({ port: router.apiPort, path, headers, json: { ...chat, prompt: 'x' } })
      return (await within(5000, exchange.text(), 'the answer')).status
    }
    assert.equal(await asks('chat', '/v1/chat/completions'), 200)
    assert.equal(await asks('nightly', '/v1/chat/completions'), 404)
    assert.equal(await asks('nightly', '/v1/embeddings'), 403)
    assert.equal(await asks('nobody', '/v1/chat/completions'), 401)
  })
})

describe('examples/custom-policy', () => {
  test('fills the first worker, spills to the second, and comes back', { timeout }, async (t) => {
    const release = Promise.withResolvers<void>()
    const [first, second] = await Promise.all([holding(t, release.promise), holding(t, release.promise)])
    const router = await startExample(t, 'custom-policy', [first, second])
    const ask = () =>
      within(
        20_000,
        rawRequest({ port: router.apiPort, path: '/v1/chat/completions', json: chat }).text(),
        'an answer',
      )

    const answers = [ask()]
    await within(5000, first.received(1), 'the first request at the first worker')
    answers.push(ask())
    await within(5000, first.received(2), 'the second request at the first worker')
    answers.push(ask())
    await within(5000, second.received(1), 'the third request at the second worker')
    release.resolve()
    for (const { status } of await Promise.all(answers)) assert.equal(status, 200)

    assert.equal((await ask()).status, 200)
    assert.deepEqual([first.requests.length, second.requests.length], [3, 1])
    const decisions = await router.metric('vllm_router_policy_decisions_total', { policy: 'prefer_first' })
    assert.equal(decisions, 4)
  })
})

/** A worker that answers only once it is released. */
async function holding(t: TestContext, released: Promise<void>): Promise<ScriptedWorker> {
  const worker = await startScriptedWorker(undefined, { t })
  worker.use((request) => [until(released), ...worker.healthy(request)])
  return worker
}

describe('examples/library', () => {
  test('a program with a router in it: own keys before, a header after, and an orderly end', {
    timeout,
  }, async (t) => {
    needsBuild()
    const worker = await startScriptedWorker(undefined, { t })
    const program = startProgram({ file: 'examples/library/main.ts', args: [worker.url], t })
    const { api } = await program.line(
      (line) => JSON.parse(line) as { api: string },
      'a line with the addresses',
      20_000,
    )
    const port = Number(new URL(api).port)
    const ask = (headers: Record<string, string>, path = '/v1/chat/completions') =>
      rawRequest({ port, path, headers, json: chat })
    await eventually(async () => (await rawRequest({ port, path: '/readiness' }).text()).status === 200, {
      what: 'readiness',
    })

    const refused = await within(5000, ask({}).text(), 'the answer without a key')
    assert.equal(refused.status, 401)
    assert.equal(JSON.parse(refused.text).error.code, 'invalid_api_key')

    const exchange = ask({ authorization: 'Bearer letmein' })
    const { status } = await within(5000, exchange.text(), 'the answer with a key')
    const bytes = Buffer.byteLength(JSON.stringify(chat))
    const head = await exchange.head
    assert.deepEqual([status, head.header('x-request-bytes')], [200, String(bytes)])

    program.signal('SIGTERM')
    assert.deepEqual(await within(10_000, program.exited, 'the end after SIGTERM'), { code: 0, signal: null })
  })
})
