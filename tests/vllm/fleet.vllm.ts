/** The router in front of real vLLM servers; `npm run test:vllm` starts them and says here where they are. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { eventually } from '../support/deadline.ts'
import { startOtlpReceiver } from '../support/otlp-receiver.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver, untilAvailable } from '../support/router-over.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { kindsFor } from './kinds.ts'
import { startSpanReceiver } from './span-receiver.ts'
import { startTap } from './tap.ts'

interface Fleet {
  readonly folder: string
  /** Two servers of the first model: `victim` is killed at the end. */
  readonly first: string
  readonly victim: string
  readonly victimPid: number
  /** Where `victim` sends its traces. */
  readonly spansPort: number
  /** Of another model, and behind a key. */
  readonly second: string
  readonly embed: string
}

const timeout = 300_000
const { folder, ...fleet } = JSON.parse(process.env.VLLM_FLEET ?? '{}') as Fleet
const key = 'worker-key'
const authorization = `Bearer ${key}`
const hi = [{ role: 'user' as const, content: 'Count from one to five, please.' }]

const setup = shared(async (t) => {
  const taps = await Promise.all([fleet.first, fleet.second, fleet.embed].map((url) => startTap(url, t)))
  return { taps, router: await routerOver(taps, { t, args: ['--api-key', key] }) }
})

const noSuchRoute = Buffer.from('{"detail":"Not Found"}')

/** What two answers to one request have in common, save what each is given anew. */
const steady = (text: string): string => text.replace(/"(?:id|created|created_at)":(?:"[^"]*"|\d+)/g, '')

describe('what a client gets', () => {
  const kinds = kindsFor(['first', 'second'], 'embed')

  test(`is what vLLM sent, for ${kinds.length} kinds of requests`, { timeout }, async (t) => {
    const { taps, router } = await setup()
    const servers: Readonly<Record<string, string>> = {
      first: fleet.first,
      second: fleet.second,
      embed: fleet.embed,
    }
    const missing: string[] = []
    for (const [index, { name, method, path, json, model }] of kinds.entries()) {
      const id = `kind-${index}`
      const headers = { 'x-request-id': id, authorization }
      const request = { method, path, headers, ...(json && { json }) }
      const through = await send(router.apiPort, request, 60_000)
      const sent = taps.map((tap) => tap.bodyFor(id))
      assert.equal(sent.filter((body) => body !== undefined).length, 1, `${name}: one worker was asked`)
      const by = sent.findIndex((body) => body !== undefined)
      const vllmSaid = sent[by] ?? Buffer.alloc(0)
      // The one answer that is not passed on: no client of the API finds a message in it (docs/requests.md).
      if (vllmSaid.equals(noSuchRoute)) {
        const { error } = JSON.parse(through.body.bytes.toString())
        const route = JSON.stringify(path.replace(/\?.*$/, ''))
        assert.equal(error.code, 'not_found', name)
        assert.equal(error.message, `the worker has no route ${method} ${route}`, name)
        missing.push(name)
      } else {
        assert.ok(through.body.bytes.equals(vllmSaid), `${name}: the bytes`)
      }
      const asked = Object.values(servers)[by]
      if (model !== undefined) assert.equal(asked, servers[model], `${name}: the model's own server`)
      const direct = await send(
        Number(new URL(asked ?? '').port),
        { ...request, path: path.replace(/\/$/, '') },
        60_000,
      )
      assert.equal(through.head.status, direct.head.status, name)
      const type = through.head.header('content-type')
      assert.equal(type, direct.head.header('content-type'), name)
      const plain = type === 'application/json' && json?.temperature === 0
      if (plain && path === '/v1/completions')
        assert.equal(steady(through.body.bytes.toString()), steady(direct.body.bytes.toString()), name)
    }
    assert.equal(await router.metric('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 0)
    t.diagnostic(
      `of ${kinds.length} kinds, ${missing.length} met a route that vLLM does not have: ${missing.join('; ')}`,
    )
  })

  test('is what the official clients understand', { timeout }, async () => {
    const { router } = await setup()
    const openai = new OpenAI({ baseURL: `${router.api}/v1`, apiKey: key, maxRetries: 0 })
    for (const model of ['first', 'second']) {
      const plain = await openai.chat.completions.create({ model, messages: hi, max_tokens: 5 })
      assert.equal(plain.usage?.completion_tokens, 5)
      let text = ''
      const stream = await openai.chat.completions.create({
        model,
        messages: hi,
        max_tokens: 5,
        stream: true,
      })
      for await (const { choices } of stream) text += choices[0]?.delta.content ?? ''
      assert.notEqual(text, '')
    }
    const { data } = await openai.embeddings.create({ model: 'embed', input: ['one', 'two'] })
    assert.equal(data.length, 2)
    const anthropic = new Anthropic({ baseURL: router.api, authToken: key, maxRetries: 0 })
    const message = await anthropic.messages.create({ model: 'first', max_tokens: 5, messages: hi })
    assert.equal(message.usage.output_tokens, 5)
    const listed = (await openai.models.list()).data.map(({ id }) => id)
    assert.deepEqual(listed, ['first', 'second', 'embed'])
  })
})

test('a client that leaves ends the work of the engine', { timeout }, async () => {
  const { router } = await setup()
  const json = { model: 'first', prompt: 'x', max_tokens: 4000, ignore_eos: true, stream: true }
  const exchange = rawRequest({ port: router.apiPort, path: '/v1/completions', json })
  await exchange.head
  const running = async () => {
    const text = await (await fetch(`${fleet.first}/metrics`)).text()
    return Number(/^vllm:num_requests_running\{[^}]*\} (\S+)/m.exec(text)?.[1])
  }
  await eventually(async () => (await running()) === 1, { what: 'a request that runs' })
  exchange.abort()
  await eventually(async () => (await running()) === 0, { what: 'an engine without work', withinMs: 3000 })
  assert.equal(await router.metric('vllm_router_running_requests'), 0)
})

test('a stored response is found where it was made', { timeout }, async (t) => {
  const router = await routerOver([{ url: fleet.first }, { url: fleet.victim }], { t })
  for (let turn = 0; turn < 4; turn++) {
    const json = { model: 'first', input: 'Hello', max_output_tokens: 4, store: true }
    const made = await send(router.apiPort, { path: '/v1/responses', json })
    const { id } = JSON.parse(made.body.bytes.toString())
    const got = await send(router.apiPort, { path: `/v1/responses/${id}` })
    const next = { ...json, input: 'Go on', previous_response_id: id }
    const gone = await send(router.apiPort, { path: '/v1/responses', json: next })
    assert.deepEqual([made.head.status, got.head.status, gone.head.status], [200, 200, 200])
  }
})

test('an adapter that is loaded while all runs is served at once, and gone when it is unloaded', {
  timeout,
}, async (t) => {
  const router = await routerOver([{ url: fleet.first }, { url: fleet.victim }], { t })
  const ask = async () => {
    const json = { model: 'adapter', prompt: 'x', max_tokens: 3 }
    return (await send(router.apiPort, { path: '/v1/completions', json })).head.status
  }
  const port = Number(new URL(fleet.first).port)
  const adapter = { lora_name: 'adapter', lora_path: join(folder, 'adapter') }
  assert.equal(await ask(), 404)
  assert.equal((await send(port, { path: '/v1/load_lora_adapter', json: adapter }, 30_000)).head.status, 200)
  await eventually(async () => (await ask()) === 200, { what: 'the adapter', withinMs: 2000 })
  assert.equal((await send(port, { path: '/v1/unload_lora_adapter', json: adapter })).head.status, 200)
  assert.equal(await ask(), 404)
  assert.equal(await router.metric('vllm_router_cb_outcomes_total', { outcome: 'failure' }), 0)
})

test('a server that wants a key hides its models, and is still routed to by them', { timeout }, async (t) => {
  const router = await routerOver([{ url: fleet.first }, { url: fleet.second }], { t })
  for (let turn = 0; turn < 6; turn++) {
    for (const model of ['first', 'second']) {
      const json = { model, prompt: 'x', max_tokens: 2 }
      const { head } = await send(router.apiPort, {
        path: '/v1/completions',
        json,
        headers: { authorization },
      })
      assert.equal(head.status, 200, model)
    }
  }
  const { body } = await send(router.apiPort, { path: '/v1/models', headers: { authorization } })
  const ids = JSON.parse(body.bytes.toString()).data.map(({ id }: { id: string }) => id)
  assert.deepEqual(ids, ['first', 'second'])
})

test("vLLM's own spans join the trace of the router, each below the attempt that led to it", {
  timeout,
}, async (t) => {
  const spans = await startSpanReceiver(fleet.spansPort, t)
  const receiver = await startOtlpReceiver(t)
  const args = ['--otlp-traces-endpoint', receiver.url]
  const router = await routerOver([{ url: fleet.victim }], { t, args })
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` }
  const json = { model: 'first', prompt: 'x', max_tokens: 5, stream: true }
  const { head } = await send(router.apiPort, { path: '/v1/completions', json, headers })
  assert.equal(head.status, 200)
  const [request, attempt] = await receiver.trace(traceId, 2)
  assert.ok(request !== undefined && attempt !== undefined)
  assert.deepEqual([request.parentSpanId, attempt.parentSpanId], ['b7ad6b7169203331', request.spanId])
  // An exporter that has met nobody waits ever longer until it tries again.
  const own = await eventually(() => spans.find((span) => span.traceId === traceId), {
    what: "vLLM's span",
    withinMs: 120_000,
  })
  assert.equal(own.parentSpanId, attempt.spanId, own.name)
  assert.ok(own.start >= attempt.start - 5 && own.end <= request.end + 1000, 'in the time of the attempt')
})

test("vLLM's own benchmark runs through it without a failure", { timeout }, async () => {
  const { router } = await setup()
  const { stdout } = await promisify(execFile)(
    join(folder, 'venv/bin/vllm'),
    [
      ...['bench', 'serve', '--backend', 'openai', '--base-url', router.api, '--model', 'first'],
      ...['--tokenizer', join(folder, 'tiny'), '--dataset-name', 'random', '--num-prompts', '20'],
      ...['--random-input-len', '64', '--random-output-len', '16', '--ignore-eos'],
    ],
    { env: { ...process.env, HF_HUB_OFFLINE: '1', OPENAI_API_KEY: key } },
  )
  assert.match(stdout, /Successful requests: +20/)
})

test('a server that is killed costs its running stream an error event, and the others nothing', {
  timeout,
}, async (t) => {
  const args = ['--health-check-interval-secs', '0.5']
  const router = await routerOver([{ url: fleet.first }, { url: fleet.victim }], { t, args })
  const json = { model: 'first', prompt: 'x', max_tokens: 3500, ignore_eos: true, stream: true }
  const streams = [1, 2].map(() => rawRequest({ port: router.apiPort, path: '/v1/completions', json }))
  await Promise.all(streams.map(({ head }) => head))
  process.kill(-fleet.victimPid, 'SIGKILL')
  const ends = await Promise.all(streams.map(async ({ body }) => (await body).bytes.toString().slice(-400)))
  assert.equal(ends.filter((end) => /"code":"worker_lost"/.test(end) && !end.includes('[DONE]')).length, 1)
  assert.equal(ends.filter((end) => end.endsWith('data: [DONE]\n\n')).length, 1)
  for (let turn = 0; turn < 6; turn++) {
    const short = { model: 'first', prompt: 'x', max_tokens: 2 }
    assert.equal((await send(router.apiPort, { path: '/v1/completions', json: short })).head.status, 200)
  }
  await untilAvailable(router, 1)
})
