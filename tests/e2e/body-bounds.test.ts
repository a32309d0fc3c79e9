/** What bodies may take of the router: memory all together, time of the event loop, and how long an upload may stand still. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { eventually, within } from '../support/deadline.ts'
import { openConnection } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { answer, hang } from '../support/wire.ts'

const timeout = 60_000
const path = '/v1/completions'
const headers = { 'content-type': 'application/json' }
const mebibyte = 2 ** 20

function prompt(bytes: number): Buffer {
  const [open, shut] = ['{"model":"test-model","prompt":"', '"}']
  return Buffer.concat([Buffer.from(open), Buffer.alloc(bytes, 'x'), Buffer.from(shut)])
}

function errorIn(bytes: Buffer): { code: string; message: string } {
  return JSON.parse(bytes.toString()).error
}

describe('bodies that take up all the memory that they may have', () => {
  test('turn others away until there is room again, and blame nobody', { timeout }, async (t) => {
    const worker = await startScriptedWorker([hang], { t })
    const router = await routerOver([worker], { t, args: ['--max-buffered-bytes', '4MiB'] })
    const connection = openConnection({ port: router.apiPort })
    t.after(() => connection.abort())
    connection.request({ method: 'POST', path, headers, body: prompt(3 * mebibyte) })
    await eventually(() => worker.requests.length === 1, { what: 'the first one at the worker' })
    assert.ok(((await router.metric('vllm_router_buffered_bytes')) ?? 0) > 3 * mebibyte)

    for (const body of [prompt(2 * mebibyte), prompt(1.5 * mebibyte)]) {
      const refused = await send(router.apiPort, { method: 'POST', path, headers, body })
      assert.equal(refused.head.status, 503)
      assert.equal(refused.head.header('retry-after'), '1')
      assert.equal(errorIn(refused.body.bytes).code, 'buffers_full')
    }
    assert.equal(await router.metric('vllm_router_rejected_total', { reason: 'buffers_full' }), 2)
    assert.equal(worker.requests.length, 1)

    connection.abort()
    await eventually(async () => (await router.metric('vllm_router_buffered_bytes')) === 0, {
      what: 'all of it given back',
    })
    worker.use(answer(200, '{}'))
    const served = await send(router.apiPort, { method: 'POST', path, headers, body: prompt(2 * mebibyte) })
    assert.equal(served.head.status, 200)
    await eventually(async () => (await router.metric('vllm_router_buffered_bytes')) === 0, {
      what: 'all of it given back after an answer',
    })
  })

  test('let a single one in, however large', { timeout }, async (t) => {
    const worker = await startScriptedWorker(answer(200, '{}'), { t })
    const router = await routerOver([worker], { t, args: ['--max-buffered-bytes', '1MiB'] })
    const served = await send(router.apiPort, { method: 'POST', path, headers, body: prompt(3 * mebibyte) })
    assert.equal(served.head.status, 200)
  })
})

describe('an upload', () => {
  test('that stands still gets 408, one that moves is taken', { timeout }, async (t) => {
    const worker = await startScriptedWorker(answer(200, '{}'), { t })
    const router = await routerOver([worker], { t, args: ['--upload-idle-timeout-secs', '0.5'] })
    const body = prompt(600 * 1024)
    const declared = { ...headers, 'content-length': String(body.length) }

    const still = openConnection({ port: router.apiPort })
    t.after(() => still.abort())
    const stopped = still.request({ method: 'POST', path, headers: declared, body: body.subarray(0, 1000) })
    const { status } = await within(10_000, stopped.head, 'an answer to the one that stands still')
    assert.equal(status, 408)
    assert.equal(errorIn((await within(5000, stopped.body, 'its text')).bytes).code, 'upload_timeout')

    // Twelve pieces with 100 ms between them: more than twice the limit in all.
    const slow = openConnection({ port: router.apiPort })
    t.after(() => slow.abort())
    const piece = Math.ceil(body.length / 12)
    const taken = slow.request({ method: 'POST', path, headers: declared, body: body.subarray(0, piece) })
    for (let at = piece; at < body.length; at += piece) {
      await setTimeout(100)
      await slow.write(body.subarray(at, at + piece))
    }
    assert.equal((await within(10_000, taken.head, 'an answer to the slow one')).status, 200)
    assert.ok(worker.requests.at(-1)?.body.equals(body))
    assert.equal(await router.metric('vllm_router_request_errors_total', { error_type: 'upload_timeout' }), 1)
  })
})

describe('a body of very many keys', () => {
  test('goes to the right worker as it is', { timeout }, async (t) => {
    const one = await startScriptedWorker(answer(200, '{}'), { t, model: 'one' })
    const two = await startScriptedWorker(answer(200, '{}'), { t, model: 'two' })
    const router = await routerOver([one, two], { t })
    const many = Array.from({ length: 300_000 }, (_, index) => `"k${index}":1`).join()
    const body = Buffer.from(`{"prompt":"x",${many},"model":"two"}`)
    for (let time = 0; time < 3; time++) {
      const { head } = await send(router.apiPort, { method: 'POST', path, headers, body }, 20_000)
      assert.equal(head.status, 200)
    }
    assert.equal(one.requests.length, 0)
    assert.equal(two.requests.length, 3)
    assert.ok(two.requests.every((request) => request.body.equals(body)))
  })
})
