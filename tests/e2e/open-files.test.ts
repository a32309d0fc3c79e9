/** The limit of open files: who comes too late is told so, and nobody else notices. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { connectionLimit } from '../../app/upstream/open-files.ts'
import { startProgram } from '../support/child.ts'
import { eventually, within } from '../support/deadline.ts'
import { type RawExchange, rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'

const openFiles = 400
const timeout = 60_000
const path = '/v1/completions'

describe('the limit of connections', () => {
  const limits = (files: string) => `Limit  Soft  Hard  Units\nMax open files            ${files}   files\n`

  test('is a little below that of open files', () => {
    assert.equal(connectionLimit(limits('20000   20000')), 19_536)
    assert.equal(connectionLimit(limits('1024    20000')), 939)
  })

  test('is none where the system has none, or does not tell', () => {
    for (const text of ['', limits('unlimited   unlimited')])
      assert.equal(connectionLimit(text), Number.POSITIVE_INFINITY)
  })
})

test('a connection for which there is no descriptor is nobody’s fault, whatever the runtime calls it', async (t) => {
  const hosts = ['127.0.0.1', 'localhost', '[::1]']
  const file = 'tests/support/out-of-files-program.ts'
  const program = startProgram({ file, args: hosts, openFiles: 300, t })
  const line = await program.line((text) => text, 'what became of the attempts', 10_000)
  assert.deepEqual(JSON.parse(line), { without: hosts.map(() => 'exhausted'), with: 'unreachable' })
})

describe('a router that may open few files', () => {
  test('refuses streams beyond its limit with 503 and Retry-After; all others end whole, and it recovers', {
    timeout,
  }, async (t) => {
    // Long enough that all are open together.
    const worker = await startScriptedWorker(undefined, { tokens: 40, tokenMs: 200, t })
    const router = await routerOver([worker], { t, openFiles, args: ['--health-check-interval-secs', '1'] })
    const ask = (stream: boolean): RawExchange =>
      rawRequest({ port: router.apiPort, path, json: { model: 'test-model', prompt: 'hi', stream } })

    const streams: RawExchange[] = []
    const refusals: { status: number; retryAfter: string | undefined; text: string }[] = []
    while (refusals.length < 100 && streams.length < openFiles) {
      const exchange = ask(true)
      const head = await within(5000, exchange.head, `an answer to stream ${streams.length + 1}`)
      if (head.status === 200) streams.push(exchange)
      else
        refusals.push({
          status: head.status,
          retryAfter: head.header('retry-after'),
          text: (await exchange.text()).text,
        })
    }
    assert.ok(streams.length > openFiles / 3 && streams.length <= openFiles / 2, `${streams.length} streams`)
    for (const { status, retryAfter, text } of refusals) {
      assert.deepEqual([status, retryAfter], [503, '1'])
      assert.equal(JSON.parse(text).error.code, 'no_available_worker')
      assert.match(JSON.parse(text).error.message, /limit of open connections/)
    }
    assert.equal(await router.metric('vllm_router_running_requests'), streams.length)
    const label = { error_type: 'no_available_worker' }
    assert.equal(await router.metric('vllm_router_request_errors_total', label), refusals.length)

    const bodies = await within(
      30_000,
      Promise.all(streams.map(({ body }) => body)),
      'the end of all streams',
    )
    for (const { bytes, complete } of bodies)
      assert.ok(complete && bytes.toString().endsWith('data: [DONE]\n\n'))
    await eventually(async () => (await ask(false).text()).status === 200, { what: 'an answer again' })
    assert.equal(await router.metric('vllm_router_running_requests'), 0)
    const said = router.logs().filter(({ msg }) => /^(breaker|worker unhealthy)/.test(String(msg)))
    assert.deepEqual(said, [], 'no worker is blamed')
  })
})
