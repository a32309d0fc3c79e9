/** `x-router-explain`: who has the admin key is told the way of a request in the header of its answer. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ConfigInput } from '../../app/config/settings.ts'
import { within } from '../support/deadline.ts'
import { explainedFleet } from '../support/explained-fleet.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { Scope } from '../support/scope.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { answer, head, reset, streamHead, wait } from '../support/wire.ts'

const timeout = 30_000
const key = 'canary-of-an-admin-key'
const withKey = { 'x-router-explain': key }
const chat = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }] }

type Send = Awaited<ReturnType<typeof explainedFleet>>['send']

async function fleet(t: Scope, workers: readonly ScriptedWorker[], options: ConfigInput = {}) {
  const { send, gateway } = await explainedFleet(t, {
    ...{ workerUrls: workers.map(({ url }) => url), adminApiKey: key, healthCheckIntervalSecs: 60 },
    ...options,
  })
  const ids = new Map((await gateway.control.workers()).map(({ url, id }) => [url, id]))
  return { send, gateway, idOf: ({ url }: ScriptedWorker) => ids.get(url) ?? '' }
}

/** The words of the field, by name. */
async function decision(answered: ReturnType<Send>): Promise<Record<string, string>> {
  const field = (await answered).head.header('x-router-decision')
  assert.ok(field !== undefined)
  assert.match(field, /^[!-~]+(?: [!-~]+)*$/)
  assert.ok(!field.includes(key))
  return Object.fromEntries(field.split(' ').map((word) => word.split(/=(.*)/s, 2)))
}

describe('a request with the admin key', () => {
  test('is told who answered it, and why', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const { send, idOf } = await fleet(t, [worker], { policy: 'least_inflight' })
    const id = idOf(worker)
    const expected = {
      ...{ worker: id, model: 'test-model', policy: 'least_inflight', why: 'load', candidates: '1' },
      attempts: `${id}:ok`,
    }
    assert.deepEqual(await decision(send(chat, { headers: withKey })), expected)
    const stream = await decision(send({ ...chat, stream: true }, { headers: withKey }))
    assert.deepEqual(stream, { ...expected, attempts: `${id}:streaming` })
  })

  test('is told each attempt, with what came of it', { timeout }, async (t) => {
    const lost = await startScriptedWorker([head(200, { 'content-length': '10' }), reset], { t })
    const sound = await startScriptedWorker(undefined, { t })
    const { send, idOf } = await fleet(t, [lost, sound], { policy: 'round_robin' })
    let said = await decision(send(chat, { headers: withKey }))
    if (lost.requests.length === 0) said = await decision(send(chat, { headers: withKey }))
    assert.equal(said.worker, idOf(sound))
    const [first, second, ...more] = said.attempts?.split(',') ?? []
    assert.match(first ?? '', new RegExp(`^${idOf(lost)}:[a-z_]+$`))
    assert.notEqual(first, `${idOf(lost)}:ok`)
    assert.deepEqual([second, more], [`${idOf(sound)}:ok`, []])
  })

  test('is told what is known when comments have to go out first', { timeout }, async (t) => {
    const slow = await startScriptedWorker(undefined, { t })
    slow.use((request) => [streamHead(), wait(700), ...slow.healthy(request).slice(1)])
    const { send, idOf } = await fleet(t, [slow], { holdCommentAfterSecs: 0.2 })
    const said = await decision(send({ ...chat, stream: true }, { headers: withKey }))
    assert.equal(said.attempts, `${idOf(slow)}:waiting`)
  })

  test('is told so with an error too', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const { send, gateway, idOf } = await fleet(t, [worker], { disableRetries: true, policy: 'random' })
    const wrong = await decision(send({ model: 'test-model' }, { headers: withKey }))
    assert.deepEqual(wrong, { policy: 'random', error: 'invalid_request' })
    worker.use([reset])
    const lost = await decision(send(chat, { headers: withKey }))
    assert.equal(lost.worker, idOf(worker))
    assert.equal(lost.error, 'worker_unreachable')
    assert.match(lost.attempts ?? '', new RegExp(`^${idOf(worker)}:[a-z_]+$`))
    worker.use(answer(500, '{"error":{"message":"no"}}'))
    const own = await decision(send(chat, { headers: withKey }))
    assert.match(own.attempts ?? '', new RegExp(`^${idOf(worker)}:[a-z0-9_]+$`))
    assert.equal(own.error, undefined)
    await gateway.control.setDraining(worker.url, true)
    const nobody = await decision(send(chat, { headers: withKey }))
    assert.deepEqual(nobody, { model: 'test-model', policy: 'random', error: 'no_available_worker' })
  })

  test('is told the policy of its model, and the model that answered', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t, model: 'größer als' })
    const { send } = await fleet(t, [worker], {
      modelAlias: ['alias=größer als'],
      modelPolicy: ['größer als=power_of_two'],
    })
    const said = await decision(send({ ...chat, model: 'alias' }, { headers: withKey }))
    assert.deepEqual([said.model, said.policy], ['gr__er_als', 'power_of_two'])
  })

  test('keeps it to itself: no worker and no log sees the key', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const env = { VLLM_ROUTER_ADMIN_API_KEY: key }
    const router = await routerOver([worker], { t, env, args: ['--log-level', 'trace'] })
    const exchange = rawRequest({
      ...{ port: router.apiPort, path: '/v1/chat/completions', json: chat },
      headers: { 'X-Router-Explain': key },
    })
    assert.ok((await within(5000, exchange.head, 'a head')).header('x-router-decision') !== undefined)
    await within(5000, exchange.text(), 'an answer')
    const [request] = worker.requests
    assert.equal(request?.header('x-router-explain'), undefined)
    assert.ok(!JSON.stringify(router.logs()).includes(key))
    const ring = rawRequest({
      ...{ port: router.operationsPort, path: '/debug/requests' },
      headers: { authorization: `Bearer ${key}` },
    })
    const { text } = await within(5000, ring.text(), 'the ring')
    assert.ok(text.includes(worker.url) && !text.includes(key))
  })
})

describe('a request without the admin key', () => {
  test('is told nothing, whatever a worker says', { timeout }, async (t) => {
    const headers = { 'content-type': 'application/json', 'x-router-decision': 'of a worker' }
    const worker = await startScriptedWorker(answer(200, '{}', headers), { t })
    const { send } = await fleet(t, [worker])
    for (const sent of [{}, { 'x-router-explain': 'wrong' }, { 'x-router-explain': '' }]) {
      const { head: got } = await send(chat, { headers: sent })
      assert.deepEqual([got.status, got.header('x-router-decision')], [200, undefined])
    }
    const { head: wrong } = await send({}, { headers: { 'x-router-explain': 'wrong' } })
    assert.deepEqual([wrong.status, wrong.header('x-router-decision')], [400, undefined])
  })

  test('is told nothing by a router that has none, and the field stays here', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const { send } = await fleet(t, [worker], { adminApiKey: undefined })
    for (const value of [key, '', 'undefined']) {
      const { head: got } = await send(chat, { headers: { 'x-router-explain': value } })
      assert.deepEqual([got.status, got.header('x-router-decision')], [200, undefined])
    }
    for (const request of worker.requests) assert.equal(request.header('x-router-explain'), undefined)
  })
})
