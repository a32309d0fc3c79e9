/** Where nobody else could be asked, or the words are the client's own, no worker is blamed, and none is taken from others. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { apiRequest } from '../support/api-bodies.ts'
import { eventually, within } from '../support/deadline.ts'
import { assertBreakersStayedClosed } from '../support/failure-books.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { answer, chunk, head, lastChunk, streamHead, wait } from '../support/wire.ts'

const timeout = 60_000
const chat = '/v1/chat/completions'
const failure = answer(500, '{"error":{"message":"boom","type":"InternalServerError","code":500}}')

async function post(router: RouterProcess, path: string, json: object) {
  return within(10_000, rawRequest({ port: router.apiPort, path, json }).text(), 'an answer')
}

describe("a client's input that draws errors", () => {
  test('from the one worker that has its response opens no breaker', { timeout }, async (t) => {
    const workers = await Promise.all([1, 2].map(() => startScriptedWorker(undefined, { t })))
    for (const [index, worker] of workers.entries())
      worker.use((request) =>
        request.body.includes('"bad"') ? failure : answer(200, `{"id":"resp_${index}","object":"response"}`),
      )
    const router = await routerOver(workers, { t })
    const made = [1, 2].map(() => post(router, '/v1/responses', { model: 'test-model', input: 'good' }))
    const ids = (await Promise.all(made)).map(({ text }) => (JSON.parse(text) as { id: string }).id)
    for (const previous_response_id of ids)
      for (let time = 0; time < 8; time++)
        await post(router, '/v1/responses', { model: 'test-model', input: 'bad', previous_response_id })
    await assertBreakersStayedClosed(router)
  })

  test('opens no breaker where retries are off, and a worker that is sick alone is still found', {
    timeout,
  }, async (t) => {
    const workers = await Promise.all([1, 2].map(() => startScriptedWorker(failure, { t })))
    const router = await routerOver(workers, { t, args: ['--disable-retries'] })
    for (let time = 0; time < 12; time++) await post(router, chat, apiRequest().json as object)
    const states = async () =>
      Promise.all(workers.map(({ url }) => router.metric('vllm_router_cb_state', { worker: url })))
    assert.deepEqual(await states(), [0, 0])
    const [sick, well] = [
      await startScriptedWorker(failure, { t }),
      await startScriptedWorker(undefined, { t }),
    ]
    const other = await routerOver([sick, well], { t, args: ['--disable-retries'] })
    for (let time = 0; time < 14; time++) await post(other, chat, apiRequest().json as object)
    assert.equal(await other.metric('vllm_router_cb_state', { worker: sick.url }), 1)
    assert.equal(await other.metric('vllm_router_cb_state', { worker: well.url }), 0)
  })

  test('with the words of a worker that shuts down is the mistake that its status says', {
    timeout,
  }, async (t) => {
    const words = 'Failed to compile regex: cannot schedule new futures after shutdown'
    const error = `{"error":{"message":"${words}","type":"BadRequestError","code":400}}`
    const workers = await Promise.all([1, 2, 3].map(() => startScriptedWorker(undefined, { t })))
    for (const worker of workers)
      worker.use((request) =>
        request.body.includes('regex')
          ? [streamHead(), chunk(`data: ${error}\n\n`), chunk('data: [DONE]\n\n'), lastChunk]
          : undefined,
      )
    const router = await routerOver(workers, { t })
    const json = { ...(apiRequest({ stream: true }).json as object), guided_regex: 'regex' }
    await post(router, chat, json)
    assert.equal(
      workers.reduce((sum, { requests }) => sum + requests.length, 0),
      1,
    )
    assert.equal(await router.metric('vllm_router_worker_busy'), 0)
  })
})

test('a slow 404 that sends the request elsewhere is not left open', { timeout }, async (t) => {
  const lost = await startScriptedWorker(
    [
      head(404, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }),
      chunk('{"error":{"message":"no such response",'),
      wait(1300),
      chunk('"code":404}}'),
      lastChunk,
    ],
    { t },
  )
  const router = await routerOver([lost, await startScriptedWorker(answer(404, '{"error":{}}'), { t })], {
    t,
  })
  for (let time = 0; time < 2; time++)
    await post(router, '/v1/responses', {
      model: 'test-model',
      input: 'x',
      previous_response_id: 'resp_unknown',
    })
  await eventually(async () => (await router.metric('vllm_router_running_requests')) === 0, {
    what: 'nothing in flight',
  })
})

test('a stream of several choices that ends before all have a reason is told to be broken', {
  timeout,
}, async (t) => {
  const event = (index: number, delta: string, reason: string) =>
    chunk(
      `data: {"id":"c","choices":[{"index":${index},"delta":{"content":"${delta}"},"finish_reason":${reason}}]}\n\n`,
    )
  const worker = await startScriptedWorker(
    [streamHead(), event(1, 'half a wo', 'null'), event(0, 'all', '"stop"'), lastChunk],
    { t },
  )
  const router = await routerOver([worker], { t })
  const json = { ...(apiRequest({ stream: true }).json as object), n: 2 }
  const { text } = await post(router, chat, json)
  assert.match(text, /"code":"worker_lost"/)
  assert.doesNotMatch(text, /\[DONE\]/)
  const { text: single } = await post(router, chat, { ...json, n: 1 })
  assert.doesNotMatch(single, /worker_lost/, 'one choice has said why it stopped')
})

describe('a stream', () => {
  test('that goes on with comments after its end marker is over soon', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    worker.use((request) => {
      const { prelude, tokens } = worker.answerTo(request)
      const comments = Array.from({ length: 60 }, () => [wait(200), chunk(': still here\n\n')]).flat()
      return [streamHead(), ...[...prelude, ...tokens, 'data: [DONE]\n\n'].map(chunk), ...comments]
    })
    const router = await routerOver([worker], { t })
    const startedAt = performance.now()
    assert.match((await post(router, chat, apiRequest({ stream: true }).json as object)).text, /\[DONE\]/)
    assert.ok(performance.now() - startedAt < 6000)
  })

  test('of nothing but empty lines and ids has fallen silent', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    worker.use((request) => {
      const { prelude, tokens } = worker.answerTo(request)
      const idle = Array.from({ length: 60 }, (_, id) => [
        wait(200),
        chunk(id % 2 === 0 ? '\n' : `id: ${id}\n\n`),
      ])
      return [streamHead(), ...[...prelude, ...tokens.slice(0, 1)].map(chunk), ...idle.flat()]
    })
    const router = await routerOver([worker], { t, args: ['--stream-idle-timeout-secs', '1'] })
    const { text } = await post(router, chat, apiRequest({ stream: true }).json as object)
    assert.match(text, /"code":"stream_idle_timeout"/)
  })
})
