/** Lists of models that are behind, hidden or silent about an adapter: what answers tell makes up for it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually } from '../support/deadline.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { type ScriptedWorker, startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { answer } from '../support/wire.ts'

const timeout = 30_000
const path = '/v1/completions'

interface ModelWorker extends ScriptedWorker {
  /** Changed by tests, as an operator does on a running server. */
  models: { readonly id: string; readonly parent?: string }[]
  key: string | undefined
}

/** A worker that knows its models and its key, as vLLM does. */
async function modelWorker(t: Scope, name: string, models: string[], key?: string): Promise<ModelWorker> {
  const headers = { 'x-worker-id': name }
  const state = { models: models.map((id) => ({ id })), key }
  const worker = await startScriptedWorker(
    (request) => {
      if (request.path === '/health') return undefined
      if (current.key !== undefined && request.header('authorization') !== `Bearer ${current.key}`)
        return answer(401, '{"error":"Unauthorized"}', headers)
      if (request.path === '/v1/models')
        return answer(200, JSON.stringify({ object: 'list', data: current.models }), headers)
      const { model } = request.json() as { model: string }
      if (current.models.some(({ id }) => id === model)) return answer(200, '{}', headers)
      const error = {
        message: `The model \`${model}\` does not exist.`,
        type: 'NotFoundError',
        param: 'model',
        code: 404,
      }
      return answer(404, JSON.stringify({ error }), headers)
    },
    { t, headers, everyRoute: true },
  )
  const current: ModelWorker = Object.assign(worker, state)
  return current
}

const client = (key: string) => ({ authorization: `Bearer ${key}` })

async function complete(router: RouterProcess, model: string, headers = {}) {
  const { head, body } = await send(router.apiPort, { path, json: { model, prompt: 'x' }, headers })
  const text = body.bytes.toString()
  return {
    status: head.status,
    by: head.header('x-worker-id'),
    attempts: head.header('x-router-attempts'),
    text,
  }
}

async function listed(router: RouterProcess, headers = {}) {
  const { head, body } = await send(router.apiPort, { path: '/v1/models', headers })
  const { data = [] } = JSON.parse(body.bytes.toString()) as { data?: { id: string; parent?: string }[] }
  return { status: head.status, data, ids: data.map(({ id }) => id) }
}

async function states(router: RouterProcess): Promise<Record<string, unknown>[]> {
  const { body } = await send(router.operationsPort, { path: '/workers' })
  return JSON.parse(body.bytes.toString()).workers
}

const failures = (router: RouterProcess) =>
  router.metric('vllm_router_cb_outcomes_total', { outcome: 'failure' })

describe('workers that list their models only to those with a key', () => {
  async function locked(t: Scope) {
    const workers = [await modelWorker(t, 'a', ['m-a'], 'k'), await modelWorker(t, 'b', ['m-b'], 'k')]
    return { workers, router: await routerOver(workers, { t }) }
  }

  test('are told apart by their answers', { timeout }, async (t) => {
    const { router } = await locked(t)
    const attempts: (string | undefined)[] = []
    for (let turn = 0; turn < 8; turn++) {
      for (const name of ['a', 'b']) {
        const got = await complete(router, `m-${name}`, client('k'))
        assert.deepEqual([got.status, got.by], [200, name])
        if (turn > 2) attempts.push(got.attempts)
      }
    }
    assert.deepEqual([...new Set(attempts)], ['1'], 'nobody is asked for nothing any more')
    assert.equal(await failures(router), 0)
  })

  test('list them to a client that has it', { timeout }, async (t) => {
    const { router } = await locked(t)
    assert.deepEqual(await listed(router, client('k')).then(({ ids }) => ids), ['m-a', 'm-b'])
    for (const headers of [{}, client('wrong')]) assert.equal((await listed(router, headers)).status, 401)
  })

  test('say so in their state, and once in the log, with what would help', { timeout }, async (t) => {
    const { router } = await locked(t)
    for (const state of await states(router)) assert.match(String(state.models_hidden), /--api-key/)
    const found = () => router.logs().filter(({ msg }) => msg === 'worker does not list its models')
    const lines = await eventually(() => (found().length >= 2 ? found() : undefined), { what: 'the lines' })
    assert.equal(lines.length, 2)
    for (const { level, reason } of lines) {
      assert.equal(level, 'warn')
      assert.match(String(reason), /wants a key.*--api-key/)
    }
  })

  test("get a client's own key, whose refusal is the client's affair", { timeout }, async (t) => {
    const { router } = await locked(t)
    assert.deepEqual(
      await complete(router, 'm-a', client('wrong')).then(({ status, attempts }) => [status, attempts]),
      [401, '1'],
    )
    assert.equal(await router.metric('vllm_router_active_workers'), 2)
  })
})

test("a worker that does not take the router's own key is out until it does", { timeout }, async (t) => {
  const workers = [await modelWorker(t, 'a', ['m'], 'k'), await modelWorker(t, 'b', ['m'], 'k')] as const
  const args = ['--api-key', 'k', '--router-api-keys', 'client']
  const router = await routerOver(workers, { t, args })
  workers[1].key = 'rotated'
  for (let turn = 0; turn < 6; turn++) {
    const { status, by } = await complete(router, 'm', client('client'))
    assert.deepEqual([status, by], [200, 'a'])
  }
  const out = (await states(router)).find(({ url }) => url === workers[1].url)
  assert.deepEqual([out?.available, out?.unavailable_reason], [false, 'key_refused'])
  assert.match(JSON.stringify(out?.last_error), /refuses the router's key .*--api-key/)
  const line = await eventually(
    () => router.logs().find(({ msg }) => msg === 'worker refuses the key of the router'),
    { what: 'the line in the log' },
  )
  assert.equal(line.worker, workers[1].url)
  assert.equal(await failures(router), 0)

  workers[1].key = 'k'
  await eventually(
    async () => {
      await listed(router, client('client'))
      return (await complete(router, 'm', client('client'))).by === 'b'
    },
    { what: 'the worker being back' },
  )
})

test('a worker that forbids one request takes the others', { timeout }, async (t) => {
  const worker = await modelWorker(t, 'a', ['m'])
  const router = await routerOver([worker], { t, args: ['--api-key', 'k'] })
  worker.route(`POST ${path}`, answer(403, '{"error":"forbidden"}'))
  assert.equal((await complete(router, 'm')).status, 403)
  worker.route(`POST ${path}`, undefined)
  assert.equal((await complete(router, 'm')).status, 200)
})

describe('an adapter', () => {
  test('that was loaded a moment ago is found at its first use', { timeout }, async (t) => {
    const workers = [await modelWorker(t, 'a', ['base']), await modelWorker(t, 'b', ['base'])] as const
    const router = await routerOver(workers, { t })
    assert.equal(JSON.parse((await complete(router, 'early')).text).error.code, 'model_not_found')
    workers[1].models = [{ id: 'base' }, { id: 'tuned', parent: 'base' }]
    await eventually(async () => (await complete(router, 'tuned')).status === 200, {
      what: 'the adapter',
      withinMs: 2000,
    })
    assert.equal((await complete(router, 'tuned')).by, 'b')
    const { data } = await listed(router)
    assert.deepEqual(
      data.find(({ id }) => id === 'tuned'),
      { id: 'tuned', parent: 'base' },
    )
  })

  test('that was unloaded is gone from the list with the next use, and costs nobody a failure', {
    timeout,
  }, async (t) => {
    const workers = [
      await modelWorker(t, 'a', ['base', 'tuned']),
      await modelWorker(t, 'b', ['base', 'tuned']),
    ] as const
    const router = await routerOver(workers, { t })
    workers[0].models = [{ id: 'base' }]
    for (let turn = 0; turn < 4; turn++) {
      const { status, by } = await complete(router, 'tuned')
      assert.deepEqual([status, by], [200, 'b'])
    }
    workers[1].models = [{ id: 'base' }]
    assert.equal((await complete(router, 'tuned')).status, 404)
    await eventually(async () => !(await listed(router)).ids.includes('tuned'), { what: 'a list without it' })
    assert.equal(await failures(router), 0)
  })

  test('that no list names is asked for where that is wanted', { timeout }, async (t) => {
    const workers = [await modelWorker(t, 'a', ['base']), await modelWorker(t, 'b', ['base'])] as const
    // As vLLM's resolvers do: loaded when it is asked for.
    workers[1].use((request) => {
      if (request.path === '/v1/models')
        return answer(200, JSON.stringify({ object: 'list', data: workers[1].models }))
      const body = request.json() as { model?: string } | undefined
      if (body?.model === 'lazy') workers[1].models = [{ id: 'base' }, { id: 'lazy' }]
      return body?.model === 'nobody' ? answer(404, '{"error":{"param":"model","code":404}}') : undefined
    })
    const router = await routerOver(workers, { t, args: ['--ask-unlisted-models'] })
    for (let turn = 0; turn < 3; turn++) assert.equal((await complete(router, 'lazy')).status, 200)
    await eventually(async () => (await listed(router)).ids.includes('lazy'), {
      what: 'the adapter in the list',
    })
    const { status, text } = await complete(router, 'nobody')
    assert.deepEqual([status, JSON.parse(text).error.code], [404, 'model_not_found'])
  })
})

test('a worker that serves another model now costs nobody a failure', { timeout }, async (t) => {
  const workers = [await modelWorker(t, 'a', ['m']), await modelWorker(t, 'b', ['m'])] as const
  const router = await routerOver(workers, { t })
  workers[0].models = [{ id: 'other' }]
  for (let turn = 0; turn < 6; turn++) {
    const { status, by } = await complete(router, 'm')
    assert.deepEqual([status, by], [200, 'b'])
  }
  assert.deepEqual(await complete(router, 'other').then(({ status, by }) => [status, by]), [200, 'a'])
  assert.equal(await failures(router), 0)
})
