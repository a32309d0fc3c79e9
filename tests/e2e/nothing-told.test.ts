/**
 * Prompts, answers and keys go through the router, and nowhere else: not into its log at any level, its metrics, its
 * traces, what it remembers of requests, nor into any page of the operations listener.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashOfKey } from '../../middleware/key-ring.ts'
import { within } from '../support/deadline.ts'
import { startOtlpReceiver } from '../support/otlp-receiver.ts'
import { type RawRequestOptions, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { answer, chunk, close, type Script, streamHead } from '../support/wire.ts'

const prompt = 'canary-prompt-7c1f'
const output = 'canary-output-91ab'
const keys = {
  client: 'canary-client-key-55d2',
  tenant: 'canary-tenant-key-9d17',
  expired: 'canary-expired-key-44c8',
  wrong: 'canary-wrong-key-0f3e',
  worker: 'canary-worker-key-a80c',
  admin: 'canary-admin-key-e6b4',
}
const hashes = [keys.tenant, keys.expired].map(hashOfKey)
const secrets = [prompt, output, ...Object.values(keys), ...hashes.map((hash) => hash.slice(7))]

const completion = JSON.stringify({
  ...{ id: 'x', object: 'chat.completion', created: 1, model: 'test-model' },
  choices: [{ index: 0, message: { role: 'assistant', content: output }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
})
const event = (content: string) =>
  `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content } }] })}\n\n`

/** Ways of a request; workers like to repeat what they could not read. */
const ways: Readonly<Record<string, Script>> = {
  'a plain answer': answer(200, completion, { 'content-type': 'application/json' }),
  'a stream': [streamHead(), chunk(event(output)), chunk('data: [DONE]\n\n'), '0\r\n\r\n'],
  'a stream that breaks': [streamHead(), chunk(event(output)), close],
  'an error of the worker': answer(500, JSON.stringify({ error: { message: `${output} ${prompt}` } })),
  'a refusal': answer(400, JSON.stringify({ error: { message: `bad ${prompt}`, code: 400 } })),
  'a busy worker': answer(429, `try later, ${output}`),
  'no HTTP at all': [`${output} is no HTTP\r\n\r\n`, close],
}

const chat = { model: 'test-model', messages: [{ role: 'user', content: prompt }], user: prompt }

for (const level of ['info', 'trace']) {
  test(`prompts, answers and keys are told nowhere, with the log at level ${level}`, {
    timeout: 120_000,
  }, async (t) => {
    const receiver = await startOtlpReceiver(t)
    const workers = await Promise.all([0, 1].map(() => startScriptedWorker(undefined, { t })))
    const settings = ['--log-level', level, '--policy', 'cache_aware', '--otlp-traces-endpoint', receiver.url]
    const home = await mkdtemp(join(tmpdir(), 'vllm-router-told-'))
    t.after(() => rm(home, { recursive: true, force: true }))
    const keysFile = join(home, 'keys.yaml')
    const list = `- name: a\n  hash: ${hashes[0]}\n- name: b\n  hash: ${hashes[1]}\n  expires: 2020-01-01\n`
    await writeFile(keysFile, list)
    settings.push('--keys-file', keysFile)
    const secret = ['--router-api-keys', keys.client, '--api-key', keys.worker, '--admin-api-key', keys.admin]
    const router = await routerOver(workers, { t, args: [...settings, ...secret] })
    const ask = async (request: RawRequestOptions, key = keys.client) => {
      const path = '/v1/chat/completions'
      const headers: [string, string][] = [['authorization', `Bearer ${key}`]]
      return within(
        20_000,
        rawRequest({ port: router.apiPort, path, headers, ...request }).text(),
        'an answer',
      )
    }
    const operate = async (method: string, path: string, json?: unknown) => {
      const headers: [string, string][] = [['authorization', `Bearer ${keys.admin}`]]
      const sent = json === undefined ? {} : { json: json as Record<string, unknown> }
      const exchange = rawRequest({ port: router.operationsPort, method, path, headers, ...sent })
      return within(20_000, exchange.text(), path)
    }

    for (const script of Object.values(ways)) {
      for (const worker of workers) worker.use(script)
      for (const stream of [false, true]) await ask({ json: { ...chat, stream } })
    }
    for (const worker of workers) worker.use(undefined)
    for (const key of [keys.tenant, keys.expired, keys.wrong, hashes[0]]) await ask({ json: chat }, key)
    await writeFile(keysFile, `${list}- name: c\n  hash: ${keys.tenant}\n- name: d\n  hash: ${hashes[1]}\n`)
    assert.equal((await operate('POST', '/reload', {})).status, 409)
    await ask({ json: { ...chat, messages: prompt, temperature: prompt } })
    await ask({ json: { ...chat, model: 'nobody-has-it' } })
    await ask({ body: `{"model": "test-model", "messages": [${prompt}` })
    await ask({ json: chat, path: `/v1/chat/completions?token=${prompt}` })
    await ask({ json: { ...chat, session_id: prompt }, path: '/finish_session' })
    await operate('POST', '/debug/route', { ...chat, stream: true })
    assert.equal((await operate('GET', '/debug/requests')).status, 200)

    // `/events` is a stream without an end: it sends what the routes beside it say.
    const { paths } = JSON.parse((await operate('GET', '/openapi.json')).text) as { paths: object }
    const pages = Object.entries(paths).filter(([path, of]) => 'get' in of && path !== '/events')
    const told = new Map<string, string>()
    for (const [path] of pages) {
      const { text } = await operate('GET', path.replace(/\{[^}]*\}/, encodeURIComponent(workers[0]!.url)))
      told.set(`GET ${path}`, text)
    }
    assert.ok(
      told.size >= 6 && told.get('GET /debug/requests')?.includes('test-model'),
      String([...told.keys()]),
    )
    assert.equal((await router.stop('SIGTERM')).code, 0)
    told.set('log', JSON.stringify(router.logs()) + router.stderr())
    told.set('traces', receiver.bodies.join('\n'))
    assert.ok(receiver.spans.length >= 10, `${receiver.spans.length} spans`)
    for (const [where, text] of told)
      for (const secret of secrets)
        assert.ok(!text.includes(secret), `${secret} in ${where}: ${around(text, secret)}`)
    // It did go through.
    assert.ok(workers.some(({ requests }) => requests.some(({ body }) => body.includes(prompt))))
  })
}

function around(text: string, secret: string): string {
  const at = text.indexOf(secret)
  return text.slice(Math.max(0, at - 300), at + secret.length + 100)
}
