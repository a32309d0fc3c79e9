/** A newcomer's usual mistakes, each with the words that he reads: what is wrong, where, and what to do. */

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { describe, test } from 'node:test'
import { eventually } from '../support/deadline.ts'
import { routerOver } from '../support/router-over.ts'
import { runRouter, startRouter } from '../support/router-process.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { closedPort, portOf } from '../support/sockets.ts'
import { answer } from '../support/wire.ts'

const timeout = 60_000

describe('at the start', () => {
  for (const [mistake, args, says] of [
    ['a worker without a scheme', ['--worker-urls', 'gpu1:8000'], 'did you mean "http://gpu1:8000"?'],
    [
      "a client's base URL for a worker",
      ['--worker-urls', 'http://gpu1:8000/v1'],
      'did you mean "http://gpu1:8000"?',
    ],
    ['a flag with a typo', ['--worker-url', 'http://gpu1:8000'], '--worker-urls'],
    ['a policy that is not there', ['--policy', 'least-inflght'], 'did you mean "least_inflight"?'],
  ] as const) {
    test(mistake, { timeout }, async () => {
      const { code, stderr } = await runRouter({ args })
      assert.equal(code, 2)
      assert.ok(stderr.includes(says), stderr)
    })
  }

  test('a port that somebody has', { timeout }, async (t) => {
    const other = createServer().listen(0, '127.0.0.1')
    t.after(() => other.close())
    await new Promise<void>((resolve) => other.once('listening', resolve))
    const port = String(portOf(other))
    const { code, stderr } = await runRouter({ args: ['--port', port, '--prometheus-port', '0'] })
    assert.equal(code, 1)
    const says = `cannot listen on 127.0.0.1:${port}: the port is in use by another process (choose another one with --port; 0 takes a free one)\n`
    assert.equal(stderr, says)
  })

  test('no workers', { timeout }, async (t) => {
    const router = await startRouter({ t })
    await eventually(
      () => router.logs().some(({ msg }) => String(msg).startsWith('there are no workers yet: ')),
      {
        what: 'the ways to give some',
      },
    )
  })
})

describe('a worker that is', () => {
  for (const [what, url, remedy] of [
    [
      'not running',
      async (t: Scope) => {
        const { port, release } = await closedPort()
        t.after(release)
        return `http://127.0.0.1:${port}`
      },
      'nobody listens there: is vLLM running, and are host and port right?',
    ],
    [
      'spelled wrongly',
      async () => 'http://no-such-host.invalid:8000',
      'no such host: is its name spelled right, and does DNS know it here?',
    ],
  ] as const) {
    test(what, { timeout }, async (t) => {
      const router = await startRouter({ t, args: ['--worker-urls', await url(t)] })
      const line = await eventually(
        () => router.logs().find(({ msg }) => msg === 'worker is not up; still probing'),
        { what: 'a word about it', withinMs: 10_000 },
      )
      assert.equal(line.remedy, remedy)
    })
  }

  test('no vLLM', { timeout }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    worker.route('GET /health', answer(404, 'no such page'))
    const router = await startRouter({ t, args: ['--worker-urls', worker.url] })
    const line = await eventually(
      () => router.logs().find(({ msg }) => msg === 'worker is not up; still probing'),
      { what: 'a word about it', withinMs: 10_000 },
    )
    assert.equal(line.error, 'probe: status 404')
    assert.match(String(line.remedy), /is it a vLLM server/)
  })
})

describe('a request with', () => {
  const setup = shared(async (t) => {
    const worker = await startScriptedWorker(undefined, { t, model: 'facebook/opt-350m' })
    return routerOver([worker], { t, args: ['--router-api-keys', 'right'] })
  })
  const key = { authorization: 'Bearer right' }
  const chat = (model: string) => JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }] })

  for (const [mistake, headers, body, status, says] of [
    [
      'no key',
      { 'content-type': 'application/json' },
      chat('facebook/opt-350m'),
      401,
      /Authorization: Bearer/,
    ],
    [
      "curl's own content type",
      { ...key, 'content-type': 'application/x-www-form-urlencoded' },
      chat('facebook/opt-350m'),
      415,
      /send the header "Content-Type: application\/json" \(curl sends another one unless told\)/,
    ],
    [
      'a model that is not there',
      { ...key, 'content-type': 'application/json' },
      chat('gpt-4'),
      404,
      /no worker serves the model "gpt-4"; there are: facebook\/opt-350m/,
    ],
    [
      'JSON that has a comma too many',
      { ...key, 'content-type': 'application/json' },
      '{"model": "m",}',
      400,
      /line 1, column 15/,
    ],
  ] as const) {
    test(mistake, { timeout }, async () => {
      const router = await setup()
      const request = { method: 'POST', path: '/v1/chat/completions', headers, body }
      const { head, body: text } = await send(router.apiPort, request)
      assert.equal(head.status, status)
      assert.match(JSON.parse(text.bytes.toString()).error.message, says)
    })
  }
})
