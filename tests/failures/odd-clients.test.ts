import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { eventually, within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { startRouter } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'

/** Sends the bytes and returns all that comes back until the connection ends or two seconds have passed. */
function exchange(port: number, bytes: string): Promise<string> {
  return within(
    5000,
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
      let text = ''
      const timer = setTimeout(() => socket.destroy(), 2000)
      socket.on('data', (chunk) => {
        text += chunk
      })
      socket.on('error', () => {})
      socket.on('close', () => {
        clearTimeout(timer)
        resolve(text)
      })
    }),
    'the answer',
  )
}

describe('a request without a host', () => {
  const targets = ['/foo7', '/x//y/sleep', '/v1/models', '/foo']

  test('is refused and reaches neither a worker nor another server', async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const router = await startRouter({ t, args: ['--worker-urls', worker.url, '--api-key', 'worker-secret'] })
    for (const target of targets) {
      const answer = await exchange(router.apiPort, `POST ${target} HTTP/1.0\r\n\r\n`)
      assert.match(answer, /^HTTP\/1\.[01] 400/, target)
    }
    assert.equal(worker.requests.length, 0)
    assert.equal(await router.metric('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 0)
  })
})

describe('what a client writes', () => {
  test('is not repeated without bound, and a faulty escape is no fault of the router', async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const router = await startRouter({ t, args: ['--worker-urls', worker.url] })
    await eventually(async () => (await router.metric('vllm_router_active_workers')) === 1, {
      what: 'a worker',
    })
    const body = JSON.stringify({ model: 'm'.repeat(100_000), prompt: 'x' })
    const request = rawRequest({
      port: router.apiPort,
      method: 'POST',
      path: '/v1/completions',
      headers: [['content-type', 'application/json']],
      body,
    })
    const { status, text } = await within(5000, request.text(), 'the answer')
    assert.equal(status, 404)
    assert.ok(text.length < 500, `${text.length} characters`)
    const odd = await within(
      5000,
      rawRequest({ port: router.apiPort, path: '/v1/models/%zz' }).text(),
      'the answer',
    )
    assert.equal(odd.status, 404)
    assert.match(odd.text, /model_not_found/)
    assert.ok(!router.logs().some(({ level }) => level === 'error'))
  })
})
