/** Aliases, shares between models, models that answer in place of others: in a fleet of two models. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createGateway } from '../../../app/index.ts'
import { withText } from '../../../http/json/top-level.ts'
import { RequestBody } from '../../../http/request-body.ts'
import { within } from '../../support/deadline.ts'
import { rawRequest } from '../../support/raw-client.ts'
import type { Scope } from '../../support/scope.ts'
import { startScriptedWorker } from '../../support/scripted-worker.ts'
import { answer, chunk, close, head, reset, type Script, streamHead, wait } from '../../support/wire.ts'

const timeout = 30_000

async function twoModels(t: Scope, options: object = {}) {
  const large = await startScriptedWorker(undefined, { t, model: 'large', headers: { 'x-model': 'large' } })
  const small = await startScriptedWorker(undefined, { t, model: 'small', headers: { 'x-model': 'small' } })
  const gateway = await createGateway({
    ...{ port: 0, prometheusPort: 0, workerUrls: [large.url, small.url] },
    ...{ healthCheckIntervalSecs: 0.2, firstTokenTimeoutSecs: 0.5, retryMaxRetries: 2 },
    ...options,
  })
  t.after(() => gateway.close())
  const { api, operations } = await gateway.start()
  const ask = async (model: string, more: object = {}, path = '/v1/chat/completions') => {
    const json = { messages: [{ role: 'user', content: 'hi' }], model, ...more }
    const exchange = rawRequest({ port: Number(new URL(api).port), path, json })
    const { status, headers } = await within(15_000, exchange.head, 'a head')
    const { text } = await within(15_000, exchange.text(), 'an answer')
    const field = (name: string) => headers.find(([key]) => key.toLowerCase() === name)?.[1]
    return {
      status,
      text,
      by: field('x-model'),
      router: field('x-router-model'),
      attempts: field('x-router-attempts'),
    }
  }
  const askForm = async (model: string) => {
    const body = `--xyz\r\ncontent-disposition: form-data; name="model"\r\n\r\n${model}\r\n--xyz--\r\n`
    const headers = { 'content-type': 'multipart/form-data; boundary=xyz' }
    const form = { method: 'POST', path: '/v1/audio/transcriptions', headers, body }
    const exchange = rawRequest({ port: Number(new URL(api).port), ...form })
    const { status } = await within(15_000, exchange.head, 'a head')
    return { status, text: (await within(15_000, exchange.text(), 'an answer')).text }
  }
  const metrics = async (): Promise<string> =>
    (await rawRequest({ port: Number(new URL(operations).port), path: '/metrics' }).text()).text
  const models = async () => {
    const exchange = rawRequest({ port: Number(new URL(api).port), path: '/v1/models' })
    return (JSON.parse((await exchange.text()).text) as { data: { id: string; root?: string }[] }).data
  }
  return { large, small, ask, askForm, metrics, models }
}

const tooLong = answer(
  400,
  JSON.stringify({
    error: {
      message: "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens.",
      type: 'BadRequestError',
      param: 'input_tokens',
      code: 400,
    },
  }),
)
const refused = answer(
  400,
  JSON.stringify({ error: { message: 'content policy', type: 'BadRequestError', code: 400 } }),
)

describe('an alias', () => {
  test('is another name for a model: only the bytes of the name change, and it is listed', {
    timeout,
  }, async (t) => {
    const { large, ask, models } = await twoModels(t, { modelAlias: 'gpt=large' })
    assert.equal((await ask('gpt')).by, 'large')
    const sent = large.requests.at(-1)!.body.toString()
    const expected = { messages: [{ role: 'user', content: 'hi' }], model: 'large' }
    assert.equal(sent, JSON.stringify(expected))
    const listed = await models()
    assert.deepEqual(
      listed.map(({ id, root }) => `${id} ${root}`),
      ['large large', 'small small', 'gpt large'],
    )
    assert.equal((await ask('gtp')).status, 404)
  })

  test('with shares splits its requests by them, exactly', { timeout }, async (t) => {
    const { large, small, ask } = await twoModels(t, { modelAlias: ['gpt=large@9', 'gpt=small@1'] })
    for (let request = 0; request < 100; request++) assert.equal((await ask('gpt')).status, 200)
    assert.deepEqual([large.requests.length, small.requests.length], [90, 10])
  })

  test('is changed at the top level only, and the last one of two counts', () => {
    const text =
      '{"tools":[{"model":"gpt"}],"model" : "x","messages":["\\"model\\":\\"gpt\\""], "model":\n"gpt" ,"n":1}'
    for (const pieces of [[text], [text.slice(0, 30), text.slice(30, 65), text.slice(65)]]) {
      const body = new RequestBody(pieces.map((piece) => Buffer.from(piece)))
      const changed = withText(body, 'model', 'gpt', 'la"rge')
      assert.equal(Buffer.from(changed!.bytes()).toString(), text.replace('\n"gpt"', '\n"la\\"rge"'))
    }
    for (const none of ['{"m":1}', '{"model":5}', '["model","gpt"]', '', '{"model"'])
      assert.equal(withText(new RequestBody([Buffer.from(none)]), 'model', 'gpt', 'x'), undefined, none)
    for (const [text, expected] of [
      ['{"mod\\u0065l":"gpt","metadata":{"model":"gpt"}}', '{"mod\\u0065l":"x","metadata":{"model":"gpt"}}'],
      ['{"my_model":"gpt","model":"gpt"}', '{"my_model":"gpt","model":"x"}'],
      ['{"model":"gpt","mod\\u0065l":"gpt"}', '{"model":"gpt","mod\\u0065l":"x"}'],
    ] as const)
      assert.equal(
        Buffer.from(withText(new RequestBody([Buffer.from(text)]), 'model', 'gpt', 'x')!.bytes()).toString(),
        expected,
      )
    const escaped = new RequestBody([Buffer.from('{"model":"g\\u0070t","model2":"gpt"}')])
    const changed = withText(escaped, 'model', 'gpt', 'x')
    assert.equal(Buffer.from(changed!.bytes()).toString(), '{"model":"x","model2":"gpt"}')
  })

  test('is found in a body of ten million keys or values, which is not gone through for it', () => {
    for (const filler of ['"a":1,'.repeat(10e6), `"ids":[${'12345,'.repeat(5e6)}1],`]) {
      const body = new RequestBody([Buffer.from(`{${filler}"model":"gpt"}`)])
      const changed = withText(body, 'model', 'gpt', 'large')
      assert.equal(Buffer.from(changed!.bytes().subarray(-16)).toString(), '"model":"large"}')
      const twice = new RequestBody([Buffer.from(`{${filler}"x":{"model":"gpt"},"model":"gpt"}`)])
      assert.equal(withText(twice, 'model', 'gpt', 'large'), undefined)
    }
  })

  test('in a form is a clear error', { timeout }, async (t) => {
    const { askForm } = await twoModels(t, { modelAlias: 'gpt=large' })
    const { status, text } = await askForm('gpt')
    assert.equal(status, 400)
    assert.match(text, /stands for another model, and can be given in a JSON body only/)
  })
})

describe('a fallback', () => {
  const options = { modelFallback: 'large=small' }
  const chat = { stream: true }

  const scenes: readonly (readonly [string, Script, object])[] = [
    ['429 without Retry-After', answer(429, '{"error":{"message":"busy","code":429}}'), {}],
    ['500', answer(500, '{"error":{"message":"boom","code":500}}'), {}],
    ['503', answer(503, '{"error":{"message":"full","code":503}}'), {}],
    ['a reset', [reset], {}],
    ['an end without an answer', [close], {}],
    ['no first token in time', [streamHead(), wait(5000)], chat],
    ['a prompt that does not fit', tooLong, {}],
  ]
  for (const [name, behaviour, more] of scenes) {
    for (const stream of [false, true]) {
      if (!stream && 'stream' in more) continue
      test(`answers after ${name}${stream ? ', streamed' : ''}`, { timeout }, async (t) => {
        const { large, ask, metrics } = await twoModels(t, options)
        large.use(behaviour)
        const { status, text, by, router } = await ask('large', { stream })
        assert.equal(status, 200, text)
        assert.deepEqual([by, router], ['small', 'small'])
        if (stream) assert.match(text, /\[DONE\]/)
        assert.ok(large.requests.length <= 3, `${large.requests.length} attempts`)
        assert.match(await metrics(), /model_fallbacks_total\{from="large",to="small"\} 1/)
      })
    }
  }

  test('asks once where the prompt does not fit, and passes a refusal on after one attempt', {
    timeout,
  }, async (t) => {
    const { large, small, ask } = await twoModels(t, options)
    large.use(tooLong)
    await ask('large')
    assert.deepEqual([large.requests.length, small.requests.length], [1, 1])
    large.use(refused)
    const { status, text, router } = await ask('large')
    assert.deepEqual([status, router], [400, undefined])
    assert.match(text, /content policy/)
    assert.deepEqual([large.requests.length, small.requests.length], [2, 1])
  })

  test('is not asked where the request is a form, or is about what only one worker has', {
    timeout,
  }, async (t) => {
    const { large, small, ask, askForm } = await twoModels(t, { ...options, retryMaxRetries: 1 })
    large.use(answer(500, '{"error":{"message":"boom","code":500}}'))
    const { status, text } = await askForm('large')
    assert.equal(status, 500)
    assert.match(text, /boom/)
    const stored = await ask('large', { input: 'hi', previous_response_id: 'resp_1' }, '/v1/responses')
    assert.equal(stored.status, 500)
    assert.equal(small.requests.length, 0)
  })

  test('does not touch a stream that has begun: it ends with an error event', { timeout }, async (t) => {
    const { large, small, ask } = await twoModels(t, options)
    const event = 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    large.use([streamHead(), chunk(event), wait(100), reset])
    const { status, text } = await ask('large', { stream: true })
    assert.equal(status, 200)
    assert.match(text, /worker_lost/)
    assert.doesNotMatch(text, /\[DONE\]/)
    assert.equal(small.requests.length, 0)
  })

  test('serves while the worker is down, and the first model is used again when it is back', {
    timeout,
  }, async (t) => {
    const { large, ask } = await twoModels(t, options)
    await large.crash()
    for (let request = 0; request < 10; request++) assert.equal((await ask('large')).by, 'small')
    await large.reopen()
    const until = performance.now() + 10_000
    while ((await ask('large')).by !== 'large')
      assert.ok(performance.now() < until, 'the first model is used again')
  })

  test('is a list, in order; where none is good, the last one’s answer is the answer', {
    timeout,
  }, async (t) => {
    const { large, small, ask } = await twoModels(t, { modelFallback: ['large=absent', 'large=small'] })
    large.use(answer(500, '{"error":{"message":"boom","code":500}}'))
    assert.equal((await ask('large')).by, 'small')
    small.use(answer(500, '{"error":{"message":"bang","code":500}}'))
    const { status, text } = await ask('large')
    assert.equal(status, 500)
    assert.match(text, /bang/)
  })

  test('of an alias is that of its name', { timeout }, async (t) => {
    const { large, ask } = await twoModels(t, { modelAlias: 'gpt=large', modelFallback: 'gpt=small' })
    large.use(answer(500, '{"error":{"message":"boom","code":500}}'))
    assert.deepEqual([(await ask('gpt')).by, (await ask('large')).status], ['small', 500])
  })

  test('ends with its client', { timeout }, async (t) => {
    const { large, small, ask } = await twoModels(t, { ...options, requestTimeoutSecs: 0.3 })
    large.use([head(200), wait(5000)])
    assert.equal((await ask('large')).status, 504)
    assert.equal(small.requests.length, 0)
  })
})

describe('workers of one model with unlike contexts', () => {
  async function unlike(t: Scope, shortOnes = 1) {
    const card = (tokens: number) =>
      answer(200, JSON.stringify({ object: 'list', data: [{ id: 'm', max_model_len: tokens }] }))
    const start = async (tokens: number) => {
      const worker = await startScriptedWorker(undefined, { t, model: 'm' })
      worker.route('GET /v1/models', card(tokens))
      return worker
    }
    const workers = await Promise.all(Array.from({ length: shortOnes }, () => start(1000)))
    const [short, long] = [workers[0]!, await start(100_000)]
    const workerUrls = [...workers, long].map(({ url }) => url)
    const gateway = await createGateway({ port: 0, prometheusPort: 0, workerUrls })
    t.after(() => gateway.close())
    const { api } = await gateway.start()
    const ask = async (content: string) => {
      const json = { model: 'm', messages: [{ role: 'user', content }] }
      const port = Number(new URL(api).port)
      return (
        await within(10_000, rawRequest({ port, path: '/v1/chat/completions', json }).text(), 'an answer')
      ).status
    }
    return { short, workers, long, ask }
  }

  test('share what fits into all, and what surely does not goes to the longer one', {
    timeout,
  }, async (t) => {
    const { short, long, ask } = await unlike(t)
    for (let request = 0; request < 4; request++) assert.equal(await ask('hi'), 200)
    assert.deepEqual([short.requests.length, long.requests.length], [2, 2])
    for (let request = 0; request < 4; request++) assert.equal(await ask('word '.repeat(2000)), 200)
    assert.deepEqual([short.requests.length, long.requests.length], [2, 6])
    // Of an image, bytes do not tell tokens.
    for (let request = 0; request < 2; request++)
      assert.equal(await ask(`data:image/png;base64,${'A'.repeat(20_000)}`), 200)
    assert.deepEqual([short.requests.length, long.requests.length], [3, 7])
    // It fits into none for all that is known: the workers have the last word.
    assert.equal(await ask('word '.repeat(200_000)), 200)
  })

  test('a refusal as too long is asked of the longer one, and of nobody where it was that', {
    timeout,
  }, async (t) => {
    const { short, long, ask } = await unlike(t)
    short.use(tooLong)
    for (let request = 0; request < 4; request++) assert.equal(await ask('hi'), 200)
    long.use(tooLong)
    const before = long.requests.length
    assert.equal(await ask('word '.repeat(2000)), 400)
    assert.equal(long.requests.length, before + 1)
  })

  test('a refusal as too long is asked of no other short one', { timeout }, async (t) => {
    const { workers, long, ask } = await unlike(t, 6)
    for (const worker of workers) worker.use(tooLong)
    for (let request = 0; request < 4; request++) assert.equal(await ask('hi'), 200)
    const asked = workers.reduce((sum, worker) => sum + worker.requests.length, 0)
    assert.ok(asked <= 4, `${asked} requests to short ones`)
    assert.equal(long.requests.length, 4)
  })
})

test('a policy of its own for a model', { timeout }, async (t) => {
  const { ask, metrics } = await twoModels(t, { policy: 'round_robin', modelPolicy: 'small=least_inflight' })
  await ask('large')
  await ask('small')
  const text = await metrics()
  assert.match(text, /policy_decisions_total\{[^}]*reason="turn"[^}]*\} 1/)
  assert.match(text, /policy_decisions_total\{[^}]*reason="load"[^}]*\} 1/)
})

test('data-parallel ranks behind a URL: each gets its part, and the worker is told which', {
  timeout,
}, async (t) => {
  const { large, ask } = await twoModels(t, { intraNodeDataParallelSize: 4 })
  for (let request = 0; request < 12; request++) await ask('large')
  const ranks = large.requests.map((request) => request.header('x-data-parallel-rank'))
  assert.deepEqual(ranks.toSorted(), ['0', '0', '0', '1', '1', '1', '2', '2', '2', '3', '3', '3'])
})

test('a session keeps to its rank', { timeout }, async (t) => {
  const { large, ask } = await twoModels(t, { intraNodeDataParallelSize: 4, policy: 'rendezvous_hash' })
  for (let request = 0; request < 12; request++) await ask('large', { user: `user-${request % 3}` })
  const ranks = large.requests.map((request) => request.header('x-data-parallel-rank'))
  assert.deepEqual(ranks.slice(0, 3), ranks.slice(3, 6))
  assert.deepEqual(ranks.slice(0, 3), ranks.slice(9, 12))
})
