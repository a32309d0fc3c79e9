/** What concerns a stored response goes to the worker that has it, and is looked for where nobody knows which. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ResponseState } from '../../../app/api/response-state.ts'
import { RequestRecord } from '../../../app/request/request-record.ts'
import { AppClock } from '../../support/app-clock.ts'
import { eventually } from '../../support/deadline.ts'
import { heapInUse } from '../../support/heap-in-use.ts'
import { testPool } from '../../support/pool.ts'
import { routerOver } from '../../support/router-over.ts'
import type { Scope } from '../../support/scope.ts'
import { type ScriptedWorker, startScriptedWorker } from '../../support/scripted-worker.ts'
import { send } from '../../support/send-all.ts'
import { answer, stream } from '../../support/wire.ts'

const timeout = 30_000
const path = '/v1/responses'
const model = 'test-model'

/** A worker that stores responses, as vLLM does: nobody else knows them. */
function storingWorker(name: string, t: Scope): Promise<ScriptedWorker> {
  const stored = new Set<string>()
  const headers = { 'x-worker-id': name }
  const notFound = answer(404, '{"error":{"message":"Response not found.","code":404}}', headers)
  const usage = { input_tokens: 3, output_tokens: 2 }
  const found = (id: string) => answer(200, JSON.stringify({ id, usage }), headers)
  return startScriptedWorker(
    (request) => {
      if (!request.path.startsWith(path)) return undefined
      if (request.path !== path) {
        const id = request.path.split('/')[3] ?? ''
        return stored.has(id) ? found(id) : notFound
      }
      const body = request.json() as { previous_response_id?: string; stream?: boolean; id: string }
      if (body.previous_response_id !== undefined && !stored.has(body.previous_response_id)) return notFound
      stored.add(body.id)
      if (body.stream !== true) return found(body.id)
      const event = (type: string) =>
        `event: ${type}\ndata: {"response":{"id":"${body.id}"},"sequence_number":0,"type":"${type}"}\n\n`
      const delta =
        'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n'
      return stream([event('response.created'), delta, event('response.completed')], headers)
    },
    { t, headers, everyRoute: true },
  )
}

async function fleet(t: Scope, args: string[] = []) {
  const workers = await Promise.all(['a', 'b', 'c'].map((name) => storingWorker(name, t)))
  const router = await routerOver(workers, { t, args })
  let made = 0
  const create = async (fields: object = {}) => {
    const id = `resp_${made++}`
    const { head } = await send(router.apiPort, { path, json: { model, input: 'x', id, ...fields } })
    return { id, status: head.status, by: head.header('x-worker-id') }
  }
  const ask = async (method: string, about: string) => {
    const { head } = await send(router.apiPort, { method, path: `${path}/${about}` })
    const attempts = head.header('x-router-attempts')
    return {
      status: head.status,
      by: head.header('x-worker-id'),
      attempts,
      retryAfter: head.header('retry-after'),
    }
  }
  return { workers, router, create, ask }
}

describe('a stored response', () => {
  for (const fields of [{}, { stream: true }]) {
    const how = 'stream' in fields ? 'in a stream' : 'plainly'
    test(`made ${how} is found by its id, cancelled and gone on from`, { timeout }, async (t) => {
      const { create, ask, router } = await fleet(t)
      const makers = new Set<string | undefined>()
      for (let turn = 0; turn < 6; turn++) {
        const { id, by } = await create(fields)
        makers.add(by)
        for (const [method, about] of [
          ['GET', id],
          ['GET', `${id}/input_items`],
          ['POST', `${id}/cancel`],
          ['DELETE', id],
        ] as const) {
          const { status, by: asked, attempts } = await ask(method, about)
          assert.deepEqual([status, asked, attempts], [200, by, '1'], `${method} ${about}`)
        }
        const next = await create({ ...fields, previous_response_id: id })
        assert.deepEqual([next.status, next.by], [200, by])
      }
      assert.equal(makers.size, 3, 'new ones are spread as ever')
      assert.equal(await router.metric('vllm_router_retries_total'), undefined)
    })
  }

  test('that another router has seen made is looked for, and then known', { timeout }, async (t) => {
    const { workers, create } = await fleet(t)
    const { id, by } = await create()
    const other = await routerOver(workers, { t })
    const attempts: string[] = []
    for (let turn = 0; turn < 4; turn++) {
      const { head } = await send(other.apiPort, { path: `${path}/${id}` })
      assert.deepEqual([head.status, head.header('x-worker-id')], [200, by])
      attempts.push(head.header('x-router-attempts') ?? '')
    }
    assert.deepEqual(attempts.slice(1), ['1', '1', '1'])
    const json = { model, input: 'x', id: 'resp_next', previous_response_id: id }
    assert.equal((await send(other.apiPort, { path, json })).head.header('x-worker-id'), by)
  })

  test('is counted when it is made, not when it is fetched', { timeout }, async (t) => {
    const { router, create, ask } = await fleet(t)
    const { id } = await create()
    for (let turn = 0; turn < 3; turn++) await ask('GET', id)
    await ask('POST', `${id}/cancel`)
    assert.equal(await router.metric('vllm_router_tokens_total', { kind: 'completion' }), 2)
  })

  test('that nobody has costs one question each, and no failure', { timeout }, async (t) => {
    const { router, ask, create } = await fleet(t)
    assert.deepEqual(await ask('GET', 'resp_nobody').then(({ status, attempts }) => [status, attempts]), [
      404,
      '3',
    ])
    assert.equal((await create({ previous_response_id: 'resp_nobody' })).status, 404)
    assert.equal(await router.metric('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 0)
  })

  test('is still to be had from a worker that drains', { timeout }, async (t) => {
    const { workers, router, create, ask } = await fleet(t)
    const { id, by } = await create()
    const maker = workers['abc'.indexOf(by ?? '')]
    const list = await send(router.operationsPort, { path: '/workers' })
    const { workers: states } = JSON.parse(list.body.bytes.toString())
    const state = states.find(({ url }: { url: string }) => url === maker?.url)
    await send(router.operationsPort, {
      method: 'PATCH',
      path: `/workers/${state.id}`,
      json: { draining: true },
    })
    assert.deepEqual(await ask('GET', id).then(({ status, by: asked }) => [status, asked]), [200, by])
    assert.notEqual((await create()).by, by)
  })

  test('of a worker that is down is said to be out of reach, not unknown', { timeout }, async (t) => {
    const { workers, router, create, ask } = await fleet(t, ['--health-check-interval-secs', '0.1'])
    const { id, by } = await create()
    await workers['abc'.indexOf(by ?? '')]?.crash()
    await eventually(async () => (await router.metric('vllm_router_active_workers')) === 2, {
      what: 'a worker less',
    })
    const { status, retryAfter } = await ask('GET', id)
    assert.deepEqual([status, retryAfter], [503, '1'])
  })
})

describe('the memory of responses', () => {
  const record = (workerId: string) => Object.assign(new RequestRecord('POST', path, 0), { workerId })
  function poolOf(count: number) {
    const { pool, addHealthy } = testPool({ clock: new AppClock() })
    for (let port = 1; port <= count; port++) addHealthy(`http://worker:${port}`)
    return pool
  }
  const body = (id: string) => Buffer.from(`{"id":"${id}"}`)

  test('is bounded: what was not asked for in the longest time is forgotten', () => {
    const pool = poolOf(2)
    const [first, second] = pool.workers
    const state = new ResponseState(pool, 2)
    state.learn(record(first!.id), body('resp_1'))
    state.learn(record(second!.id), body('resp_2'))
    assert.equal(state.makerOf('resp_1'), first)
    state.learn(record(second!.id), body('resp_3'))
    assert.deepEqual(
      ['resp_1', 'resp_2', 'resp_3'].map((id) => state.makerOf(id)),
      [first, undefined, second],
    )
  })

  test('keeps the ids alone, not the answers in which they came', () => {
    const pool = poolOf(1)
    const [worker] = pool.workers
    const state = new ResponseState(pool)
    const padding = 'x'.repeat(4096)
    const before = heapInUse()
    for (let made = 0; made < 5000; made++) {
      const id = `resp_${String(made).padStart(30, '0')}`
      state.learn(record(worker!.id), Buffer.from(`{"id":"${id}","x":"${padding}"}`))
    }
    const each = (heapInUse() - before) / 5000
    assert.ok(each < 1000, `${each} bytes for each id`)
    assert.equal(state.makerOf(`resp_${'42'.padStart(30, '0')}`), worker)
  })

  test('forgets a worker that is gone, and takes no id of unusual length', () => {
    const pool = poolOf(1)
    const [worker] = pool.workers
    const state = new ResponseState(pool)
    state.learn(record(worker!.id), body('x'.repeat(200)))
    assert.equal(state.makerOf('x'.repeat(200)), undefined)
    state.learn(record(worker!.id), body('resp_1'))
    pool.remove(worker!)
    assert.equal(state.makerOf('resp_1'), undefined)
  })

  test('is asked about paths of stored responses only', () => {
    const state = new ResponseState(poolOf(1))
    assert.equal(state.idIn('/v1/responses/resp_1', undefined), 'resp_1')
    assert.equal(state.idIn('/v1/responses/resp_1/cancel', undefined), 'resp_1')
    assert.equal(state.idIn('/v1/responses', { previous_response_id: 'resp_1' }), 'resp_1')
    assert.equal(state.idIn('/v1/responses', { previous_response_id: null }), undefined)
    assert.equal(state.idIn('/v1/responses/render', {}), undefined)
    assert.equal(state.idIn('/v1/chat/completions', { previous_response_id: 'resp_1' }), undefined)
  })
})
