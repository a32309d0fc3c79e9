/** Workers with different models behind one address: listed together, asked by name. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventually } from '../support/deadline.ts'
import { quietPort } from '../support/quiet-port.ts'
import type { RawRequestOptions } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { type Answered, send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { answer } from '../support/wire.ts'

const timeout = 30_000
const card = (id: string) => ({
  id,
  object: 'model',
  created: 1,
  owned_by: 'vllm',
  root: id,
  max_model_len: 4096,
})
const listOf = (...ids: string[]) => answer(200, JSON.stringify({ object: 'list', data: ids.map(card) }))

/** One worker each for two models, and two for a third; one of them serves a fine-tuned one too. */
const setup = shared(async (t) => {
  const start = async (name: string, ...models: string[]) => {
    const port = await quietPort()
    const worker = await startScriptedWorker(undefined, { t, port, headers: { 'x-worker-id': name } })
    worker.route('GET /v1/models', listOf(...models))
    return worker
  }
  const workers = {
    alpha: await start('alpha', 'alpha'),
    beta: await start('beta', 'org/beta'),
    gamma1: await start('gamma1', 'gamma'),
    gamma2: await start('gamma2', 'gamma', 'gamma-tuned'),
  }
  const args = ['--health-check-interval-secs', '0.2', '--worker-startup-check-interval', '0.1']
  return { workers, router: await routerOver(Object.values(workers), { t, args }) }
})

async function ask(request: RawRequestOptions): Promise<Answered & { text: string; by: string | undefined }> {
  const { router } = await setup()
  const { head, body } = await send(router.apiPort, request)
  return { head, body, text: body.bytes.toString(), by: head.header('x-worker-id') }
}

const complete = (model: unknown) => ask({ path: '/v1/completions', json: { model, prompt: 'hi' } })

async function servedBy(model: string, requests = 6): Promise<string[]> {
  const seen = new Set<string>()
  for (let request = 0; request < requests; request++) {
    const { head, by } = await complete(model)
    assert.equal(head.status, 200)
    seen.add(by ?? '')
  }
  return [...seen].sort()
}

describe('GET /v1/models', () => {
  test('lists the models of all workers, each once, as the workers describe them', { timeout }, async () => {
    const { head, text } = await ask({ path: '/v1/models' })
    assert.equal(head.status, 200)
    assert.match(head.header('content-type') ?? '', /^application\/json/)
    const { object, data } = JSON.parse(text)
    assert.equal(object, 'list')
    assert.deepEqual(data, ['alpha', 'org/beta', 'gamma', 'gamma-tuned'].map(card))
  })

  test('gives one by its name, slashes in it or not', { timeout }, async () => {
    for (const path of ['/v1/models/org/beta', '/v1/models/org%2Fbeta'])
      assert.deepEqual(JSON.parse((await ask({ path })).text), card('org/beta'))
    const { head, text } = await ask({ path: '/v1/models/delta' })
    assert.equal(head.status, 404)
    assert.equal(JSON.parse(text).error.code, 'model_not_found')
  })
})

describe('a request', () => {
  test('goes to the workers that serve its model, to all of them in turn', { timeout }, async () => {
    assert.deepEqual(await servedBy('alpha'), ['alpha'])
    assert.deepEqual(await servedBy('org/beta'), ['beta'])
    assert.deepEqual(await servedBy('gamma'), ['gamma1', 'gamma2'])
    assert.deepEqual(await servedBy('gamma-tuned'), ['gamma2'])
  })

  test('goes by the model on every kind of route, forms included', { timeout }, async () => {
    const messages = [{ role: 'user', content: 'hi' }]
    const bodies: Readonly<Record<string, object>> = {
      '/v1/chat/completions': { messages },
      '/v1/messages': { messages, max_tokens: 1 },
      '/v1/responses': { input: 'hi' },
      '/v1/embeddings': { input: 'hi' },
      '/v1/rerank': { query: 'q', documents: ['d'] },
      '/tokenize': { prompt: 'hi' },
    }
    for (const [path, body] of Object.entries(bodies)) {
      for (const [model, by] of [
        ['alpha', 'alpha'],
        ['org/beta', 'beta'],
      ] as const)
        assert.equal((await ask({ path, json: { ...body, model } })).by, by, path)
    }
    for (const [model, by] of [
      ['alpha', 'alpha'],
      ['org/beta', 'beta'],
      ['gamma-tuned', 'gamma2'],
    ] as const) {
      const part = (name: string, value: string) =>
        `--xyz\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
      const file =
        '--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\0\0\r\n'
      for (const body of [
        `${part('model', model)}${file}--xyz--\r\n`,
        `${file}${part('model', model)}--xyz--\r\n`,
      ]) {
        const headers = { 'content-type': 'multipart/form-data; boundary=xyz' }
        const got = await ask({ method: 'POST', path: '/v1/audio/transcriptions', headers, body })
        assert.deepEqual([got.head.status, got.by], [200, by])
      }
    }
  })

  test('for a model that no worker has ever listed gets 404, on every dialect', { timeout }, async () => {
    const { head, text } = await complete('delta')
    assert.equal(head.status, 404)
    const { error } = JSON.parse(text)
    assert.deepEqual(
      [error.code, error.param, error.type],
      ['model_not_found', 'model', 'invalid_request_error'],
    )
    assert.match(error.message, /"delta"/)
    const json = { model: 'delta', max_tokens: 1, messages: [{ role: 'user', content: 'hi' }] }
    const anthropic = JSON.parse((await ask({ path: '/v1/messages', json })).text)
    assert.deepEqual([anthropic.type, anthropic.error.type], ['error', 'not_found_error'])
  })
})

describe('while the only worker of a model is down', () => {
  test('its model stays listed, its requests get 503 with Retry-After, and others go on', {
    timeout,
  }, async (t) => {
    const { workers, router } = await setup()
    const { beta } = workers
    await beta.crash()
    t.after(() => beta.reopen())
    await eventually(
      async () => (await router.metric('vllm_router_worker_health', { worker: beta.url })) === 0,
      {
        what: 'a worker that is not healthy',
      },
    )
    const list = await ask({ path: '/v1/models' })
    assert.equal(list.head.status, 200)
    assert.ok(JSON.parse(list.text).data.some(({ id }: { id: string }) => id === 'org/beta'))

    const { head, text } = await complete('org/beta')
    assert.equal(head.status, 503)
    assert.ok(Number(head.header('retry-after')) >= 1)
    const { error } = JSON.parse(text)
    assert.deepEqual([error.code, error.type], ['no_available_worker', 'upstream_error'])
    assert.doesNotMatch(text, /127\.0\.0\.1/)
    assert.deepEqual(await servedBy('gamma'), ['gamma1', 'gamma2'])

    const health = await send(router.operationsPort, { path: '/health' })
    assert.equal(health.head.status, 503)
    assert.equal(health.body.bytes.toString(), `Unhealthy servers: [${beta.url}]`)
  })

  test('it comes back by itself', { timeout }, async () => {
    const { router } = await setup()
    await eventually(async () => (await complete('org/beta')).head.status === 200, {
      what: 'an answer again',
    })
    await eventually(async () => (await ask({ path: '/health' })).text === 'All servers healthy', {
      what: 'all servers healthy',
    })
    assert.equal(await router.metric('vllm_router_active_workers'), 4)
  })

  test('a model that a worker loads later is found', { timeout }, async () => {
    const { workers } = await setup()
    // Lists are read again when a worker comes back, and every 10 s.
    workers.alpha.route('GET /v1/models', listOf('alpha', 'alpha-new'))
    await workers.alpha.crash()
    await eventually(async () => (await complete('alpha')).head.status === 503, {
      what: 'the worker being away',
    })
    await workers.alpha.reopen()
    await eventually(async () => (await complete('alpha-new')).by === 'alpha', { what: 'the new model' })
    assert.equal((await complete('alpha')).by, 'alpha')
  })
})
