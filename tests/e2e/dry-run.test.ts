/** `POST /debug/route`: where a request would go now, and why, without sending it. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { ConfigInput } from '../../app/config/settings.ts'
import { selectionPolicies } from '../../policies/selection/index.ts'
import { eventually } from '../support/deadline.ts'
import { type ExplainedFleet, explainedFleet } from '../support/explained-fleet.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { answer, hang } from '../support/wire.ts'

const timeout = 30_000
const secret = 'canary-of-a-prompt'
const chat = {
  model: 'test-model',
  messages: [
    { role: 'system', content: `${secret} ${'You are of help. '.repeat(100)}` },
    { role: 'user', content: 'hi' },
  ],
}

async function fleet(t: TestContext, options: ConfigInput = {}, count = 3) {
  const workers = await Promise.all(
    Array.from({ length: count }, () => startScriptedWorker(undefined, { t })),
  )
  const router = await explainedFleet(t, { workerUrls: workers.map(({ url }) => url), ...options })
  return { workers, ...router }
}

const workerOf = async (answered: ReturnType<ExplainedFleet['send']>) =>
  (await answered).head.header('x-router-worker')

describe('a dry run', () => {
  for (const policy of Object.keys(selectionPolicies)) {
    test(`with ${policy} names the worker that the request then goes to`, { timeout }, async (t) => {
      const { explain, send } = await fleet(t, { policy })
      for (let turn = 0; turn < 12; turn++) {
        const headers = { 'x-session-id': `session-${turn % 4}` }
        const body = { ...chat, messages: [{ role: 'user', content: `${turn % 5} `.repeat(500) }] }
        const { outcome, choice, candidates, policy: said } = await explain(body, { headers })
        assert.deepEqual([outcome, said, candidates.length], ['sent', policy, 3])
        await explain(chat)
        assert.equal(choice?.id, await workerOf(send(body, { headers })))
      }
    })
  }

  test('leaves no trace', { timeout }, async (t) => {
    const { workers, explain, send, read } = await fleet(t, { policy: 'cache_aware' })
    await send(chat)
    const steady = (text: string) =>
      text.replaceAll(/^(?:# |vllm_router_(?:event_loop|process_resident|worker_quiet)).*\n/gm, '')
    const timeless = (text: string) => text.replaceAll(/"(?:age_seconds|quiet_seconds|at)":[^,}]+/g, '')
    const state = async () => [
      steady(await read('/metrics')),
      timeless(await read('/debug/requests')),
      timeless(await read('/workers')),
    ]
    const before = await state()
    for (let turn = 0; turn < 20; turn++) await explain({ ...chat, model: turn % 2 ? 'test-model' : 'x' })
    assert.deepEqual(await state(), before)
    assert.equal(workers.flatMap(({ requests }) => requests).length, 1)
  })

  test('says why workers are out', { timeout }, async (t) => {
    const busy = await startScriptedWorker(answer(429, '{}', { 'retry-after': '30' }), { t })
    const other = await startScriptedWorker(undefined, { t, model: 'another' })
    const { workers, gateway, explain, send } = await fleet(t, {
      policy: 'least_inflight',
      workerUrls: [],
      retryMaxRetries: 5,
    })
    for (const { url } of [...workers, busy, other])
      await gateway.control.addAndAwait(url, new AbortController().signal)
    await gateway.control.setDraining(workers[0]!.url, true)
    while (busy.requests.length === 0) await send(chat)
    const { outcome, passed_over, candidates, choice } = await explain(chat)
    assert.deepEqual(
      new Map(passed_over.map(({ worker, reason }) => [worker, reason])),
      new Map([
        [workers[0]!.url, 'draining'],
        [other.url, 'other_model'],
        [busy.url, 'busy'],
      ]),
    )
    assert.ok(passed_over.every(({ id }) => /^[0-9a-f]{12}$/.test(id)))
    assert.deepEqual(
      candidates.map(({ worker }) => worker),
      [workers[1]!.url, workers[2]!.url],
    )
    assert.equal(outcome, 'sent')
    assert.deepEqual([choice?.why, choice?.breaker, choice?.rank], ['load', 'closed', null])
  })

  test('takes no trial of a half-open breaker', { timeout }, async (t) => {
    const sick = await startScriptedWorker(answer(500, '{}'), { t, model: 'sick' })
    const { explain, send, gateway } = await fleet(t, {
      ...{ workerUrls: [sick.url], disableRetries: true, cbFailureThreshold: 1 },
      ...{ cbTimeoutDurationSecs: 0.2, healthCheckIntervalSecs: 60 },
    })
    const body = { ...chat, model: 'sick' }
    await send(body)
    const state = async () => (await gateway.control.worker(sick.url)).breaker.state
    await eventually(async () => (await state()) === 'half_open', { what: 'a half-open breaker' })
    for (let turn = 0; turn < 3; turn++) assert.equal((await explain(body)).choice?.breaker, 'half_open')
    assert.equal(await state(), 'half_open')
    assert.equal(sick.requests.length, 1)
  })

  test('says what the request is about, and never what is in it', { timeout }, async (t) => {
    const { ask, explain } = await fleet(t, { policy: 'cache_aware' })
    const session = 'canary-of-a-session'
    const { text } = await ask({ ...chat, user: session, stream: true })
    assert.ok(!text.includes('canary'), text)
    const said = JSON.parse(text)
    assert.equal(said.session, 'field user')
    assert.equal(said.stream, true)
    assert.ok(said.prefix_blocks >= 6, String(said.prefix_blocks))
    assert.equal(
      (await explain(chat, { headers: { 'x-session-id': session } })).session,
      'header x-session-id',
    )
  })

  test('counts blocks in the very bytes that are sent', { timeout }, async (t) => {
    const { explain, send } = await fleet(t, { policy: 'cache_aware' }, 8)
    // As Python writes JSON: with other blanks, other blocks.
    const python = JSON.stringify(chat).replaceAll('":', '": ').replaceAll(',"', ', "')
    for (const text of [python, JSON.stringify(chat)]) {
      const { choice } = await explain(text)
      assert.equal(choice?.why, 'affinity')
      assert.equal(choice?.id, await workerOf(send(text)))
    }
  })

  test('follows aliases and fallbacks, and takes no share of an alias', { timeout }, async (t) => {
    const { explain, workers } = await fleet(t, {
      modelAlias: ['fast=test-model', 'fast=elsewhere', 'shared=test-model@2', 'shared=other@1'],
      modelFallback: ['gone=nowhere', 'gone=test-model'],
    })
    const { model, outcome } = await explain({ ...chat, model: 'fast' })
    assert.deepEqual(
      [model.asked, model.resolved, model.listed, outcome],
      ['fast', 'test-model', true, 'sent'],
    )
    const gone = await explain({ ...chat, model: 'gone' })
    assert.deepEqual(gone.model, {
      ...{ asked: 'gone', resolved: 'test-model', listed: true },
      fallbacks: ['nowhere', 'test-model'],
    })
    assert.equal(gone.outcome, 'sent')
    assert.equal(gone.notes.filter((note) => note.includes('would be asked instead')).length, 2)
    const other = await startScriptedWorker(undefined, { t, model: 'other' })
    const shares = await explainedFleet(t, {
      workerUrls: [workers[0]!.url, other.url],
      modelAlias: ['shared=test-model@2', 'shared=other@1'],
    })
    for (let turn = 0; turn < 6; turn++) {
      const resolved = []
      for (let asked = 0; asked < 2; asked++)
        resolved.push((await shares.explain({ ...chat, model: 'shared' })).model.resolved)
      const { text } = await shares.send({ ...chat, model: 'shared' })
      assert.deepEqual(resolved, [JSON.parse(text).model, JSON.parse(text).model])
    }
  })

  test('says which data-parallel rank it would be', { timeout }, async (t) => {
    const { explain, send, workers } = await fleet(t, { intraNodeDataParallelSize: 3 }, 1)
    for (let turn = 0; turn < 5; turn++) {
      const ranks = [(await explain(chat)).choice?.rank, (await explain(chat)).choice?.rank]
      await send(chat)
      const sent = Number(workers[0]!.requests.at(-1)?.header('x-data-parallel-rank'))
      assert.deepEqual(ranks, [sent, sent])
    }
  })

  test('knows the worker that has a stored response', { timeout }, async (t) => {
    const { explain, send } = await fleet(t)
    const path = '/v1/responses'
    const { head, text } = await send({ model: 'test-model', input: 'hi' }, { path })
    const body = { model: 'test-model', input: 'go on', previous_response_id: JSON.parse(text).id }
    for (let turn = 0; turn < 4; turn++) {
      const { choice } = await explain(body, { path })
      assert.deepEqual([choice?.id, choice?.why], [head.header('x-router-worker'), 'stored_response'])
    }
    const unknown = await explain({ ...body, previous_response_id: 'resp_x' }, { path })
    assert.ok(unknown.notes.some((note) => note.startsWith('Nobody is known to have this response')))
  })

  test('does not guess where a policy of the user’s own cannot tell', { timeout }, async (t) => {
    const { explain, workers } = await fleet(t, {
      policy: 'mine',
      selectionPolicies: { mine: () => ({ select: (candidates) => candidates[0]! }) },
    })
    const { outcome, choice, candidates, notes } = await explain(chat)
    assert.deepEqual([outcome, choice, candidates.length], ['sent', null, workers.length])
    assert.ok(notes.some((note) => note.startsWith('The policy mine has no preview')))
  })
})

describe('a dry run of a request that would not be sent', () => {
  const cases: readonly (readonly [
    what: string,
    body: object | string,
    code: string,
    param?: string | null,
    path?: string,
  ])[] = [
    ['is no JSON', '{', 'invalid_json'],
    ['has a wrong field', { ...chat, temperature: 'hot' }, 'invalid_request', 'temperature'],
    ['has no messages', { model: 'test-model' }, 'invalid_request', 'messages'],
    ['names no model that there is', { ...chat, model: 'nope' }, 'model_not_found', 'model'],
    ['wants what only developers may do', {}, 'forbidden', null, '/sleep'],
    ['wants a page of a worker', {}, 'not_found', null, '/metrics'],
  ]

  for (const [what, body, code, param = null, path = '/v1/chat/completions'] of cases) {
    test(`because it ${what}: says what a client would be told`, { timeout }, async (t) => {
      const { explain, send } = await fleet(t, {}, 1)
      const { outcome, refused, choice } = await explain(body, { path })
      assert.equal(outcome, 'refused')
      assert.equal(choice, null)
      const { head, text } = await send(body, { path })
      const { error } = JSON.parse(text)
      assert.deepEqual([error.code, error.param], [code, param])
      const { status, ...said } = refused!
      assert.equal(status, head.status)
      assert.deepEqual([said.code, said.message, said.param], [error.code, error.message, error.param])
    })
  }

  test('because nobody can take it says so, with its reasons', { timeout }, async (t) => {
    const { explain, gateway, workers, send } = await fleet(t, {}, 2)
    for (const { url } of workers) await gateway.control.setDraining(url, true)
    const { refused, passed_over } = await explain(chat)
    assert.deepEqual([refused?.status, refused?.code], [503, 'no_available_worker'])
    assert.deepEqual(new Set(passed_over.map(({ reason }) => reason)), new Set(['draining']))
    assert.equal(refused?.message, JSON.parse((await send(chat)).text).error.message)
  })

  test('because of limits says whether it waits or is refused, and takes no place', {
    timeout,
  }, async (t) => {
    const { explain, send, workers } = await fleet(
      t,
      { maxConcurrentRequests: 1, queueSize: 1, rateLimitTokensPerSecond: 2 },
      1,
    )
    workers[0]!.use([hang])
    for (let turn = 0; turn < 5; turn++) assert.equal((await explain(chat)).outcome, 'sent')
    void send(chat).catch(() => {})
    await eventually(async () => (await explain(chat)).limits.in_flight === 1, { what: 'one in flight' })
    const waits = await explain(chat)
    assert.deepEqual([waits.outcome, waits.refused, waits.choice?.in_flight], ['waits', null, 1])
    void send(chat).catch(() => {})
    const seen = await eventuallyRefused(explain)
    assert.equal(seen.choice?.worker, workers[0]!.url)
    assert.deepEqual([seen.limits.max_in_flight, seen.limits.queue_size], [1, 1])
    assert.ok(['queue_full', 'rate_limited'].includes(seen.refused?.code ?? ''))
    await eventually(async () => (await explain(chat)).refused?.code === 'queue_full', {
      what: 'a full queue, when there is a token again',
    })
  })
})

async function eventuallyRefused(explain: ExplainedFleet['explain']) {
  let seen = await explain(chat)
  await eventually(
    async () => {
      seen = await explain(chat)
      return seen.outcome === 'refused'
    },
    { what: 'a refusal' },
  )
  return seen
}

describe('the question', () => {
  const wrong: readonly (readonly [query: string, param: string, text: string])[] = [
    ['?path=v1/completions', 'path', 'must be a path of the API'],
    ['?path=//elsewhere/x', 'path', 'must be a path of the API'],
    ['?tenant=', 'tenant', 'must be the name of a tenant'],
    ['?method=GET', 'method', 'is no parameter; there are: path, tenant'],
  ]

  test('that is wrong is told which parameter it is', { timeout }, async (t) => {
    const { ask } = await fleet(t, {}, 1)
    for (const [query, param, words] of wrong) {
      const { status, text } = await ask(chat, query)
      const { error } = JSON.parse(text)
      assert.deepEqual([status, error.code, error.param], [400, 'invalid_request', param])
      assert.ok(error.message.includes(words), error.message)
    }
    const { status, text } = await ask(chat, '', { 'content-encoding': 'gzip' })
    assert.deepEqual([status, JSON.parse(text).error.code], [415, 'unsupported_media_type'])
  })

  test('is a POST, about a path that the router relays', { timeout }, async (t) => {
    const { read, explain } = await fleet(t, {}, 1)
    assert.equal(JSON.parse(await read('/debug/route')).error.code, 'method_not_allowed')
    assert.equal((await explain({}, { path: '/health' })).outcome, 'answered')
    assert.equal((await explain({}, { path: '/workers/abc' })).outcome, 'answered')
    assert.equal((await explain({}, { path: '/v1/completions/?x=1' })).path, '/v1/completions?x=1')
  })

  test('is answered to administrators only', { timeout }, async (t) => {
    const { ask } = await fleet(t, { adminApiKey: 'root' }, 1)
    const refused = await ask(chat)
    assert.deepEqual([refused.status, JSON.parse(refused.text).error.code], [401, 'invalid_api_key'])
    const { status, text } = await ask(chat, '', { authorization: 'Bearer root' })
    assert.equal(status, 200)
    assert.ok(!text.includes('root'))
  })
})
