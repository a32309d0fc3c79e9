/** Answers that are odd but good reach the client whole; those of something that is no vLLM become the router's own. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { eventually } from '../support/deadline.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'
import { answer, chunk, close, completed, hang, head, lastChunk, streamHead } from '../support/wire.ts'

const timeout = 30_000
const path = '/v1/chat/completions'
const json = { model: 'test-model', messages: [{ role: 'user', content: 'hi' }], stream: true }
const token = 'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
const origin = 'https://chat.example.com'

const setup = shared(async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  const args = ['--log-level', 'debug', '--cors-allowed-origins', origin, '--disable-circuit-breaker']
  return { worker, router: await routerOver([worker], { t, args }) }
})

async function ask(headers: Record<string, string> = {}) {
  const { router } = await setup()
  return send(router.apiPort, { path, json, headers })
}

describe('a stream', () => {
  for (const [what, text] of [
    ['a byte order mark first', `\uFEFF${token}data: [DONE]\n\n`],
    ['a byte order mark and nothing but the end', '\uFEFFdata: [DONE]\n\n'],
    ['no empty line behind the end', `${token}data: [DONE]\n`],
    ['no line end behind the end', `${token}data: [DONE]`],
    ['the end named in a comment', `${token}: data: [DONE]\n\n${token}data: [DONE]\n\n`],
  ] as const) {
    test(`with ${what} arrives byte for byte, and is complete`, { timeout }, async () => {
      const { worker, router } = await setup()
      worker.use([streamHead(), chunk(text), lastChunk, completed])
      const labels = { reason: 'completed' }
      const before = (await router.metric('vllm_router_streams_ended_total', labels)) ?? 0
      const { head: answered, body } = await ask()
      assert.equal(answered.status, 200)
      assert.equal(body.bytes.toString(), text)
      assert.equal(await router.metric('vllm_router_streams_ended_total', labels), before + 1)
    })
  }

  test('whose end is named in a comment only is broken', { timeout }, async () => {
    const { worker } = await setup()
    worker.use([streamHead(), chunk(`${token}: data: [DONE]\n\n`), lastChunk, completed])
    assert.match((await ask()).body.bytes.toString(), /"code":"worker_lost"/)
  })

  test('that is compressed although nobody asked for it arrives as it is', { timeout }, async () => {
    const { worker, router } = await setup()
    const failures = () => router.metric('vllm_router_cb_outcomes_total', { outcome: 'failure' })
    const before = await failures()
    const bytes = gzipSync(`${token}data: [DONE]\n\n`)
    worker.use([streamHead({ 'content-encoding': 'gzip' }), chunk(bytes), lastChunk, completed])
    const { head: answered, body } = await ask()
    assert.deepEqual([answered.status, answered.header('content-encoding')], [200, 'gzip'])
    assert.equal(gunzipSync(body.bytes).toString(), `${token}data: [DONE]\n\n`)
    assert.equal(await failures(), before)
  })
})

describe('the error page of a proxy in front of a worker', () => {
  const page = '<html><h1>502 Bad Gateway</h1><hr>nginx</html>'
  const type = { 'content-type': 'text/html; charset=utf-8' }

  test('becomes an error that API clients can read, and goes into the log', { timeout }, async () => {
    const { worker, router } = await setup()
    for (const status of [500, 502, 503, 504]) {
      worker.use(answer(status, page, type))
      const { head: answered, body } = await ask({ 'x-request-id': `page-${status}` })
      assert.deepEqual([answered.status, answered.header('content-type')], [502, 'application/json'])
      const { error } = JSON.parse(body.bytes.toString())
      assert.equal(error.code, 'bad_worker_response')
      assert.match(error.message, new RegExp(`proxy .*status ${status}`))
    }
    const line = await eventually(
      () =>
        router
          .logs()
          .find(({ msg, request_id }) => /page of a proxy/.test(String(msg)) && request_id === 'page-502'),
      { what: 'the page in the log' },
    )
    assert.deepEqual([line.level, line.page], ['debug', page])
  })

  test('goes to a browser as it is', { timeout }, async () => {
    const { worker } = await setup()
    worker.use(answer(502, page, type))
    const { head: answered, body } = await ask({ accept: 'text/html,*/*' })
    assert.deepEqual([answered.status, body.bytes.toString()], [502, page])
  })
})

describe('what is no HTTP', () => {
  for (const [what, bytes] of [
    ['another protocol', 'SSH-2.0-OpenSSH_9.6\r\n'],
    ['a TLS alert', '\x15\x03\x01\x00\x02\x02\x46'],
    ['lines that end with LF alone', head(200, { 'content-length': 0 }).replaceAll('\r\n', '\n')],
  ] as const) {
    test(`is found at its first bytes: ${what}`, { timeout: 10_000 }, async () => {
      const { worker } = await setup()
      worker.use([Buffer.from(bytes, 'latin1'), hang])
      const { head: answered, body } = await ask()
      assert.equal(answered.status, 502)
      assert.equal(JSON.parse(body.bytes.toString()).error.code, 'bad_worker_response')
    })
  }

  test('a control character in a header is refused on both runtimes alike', { timeout }, async () => {
    const { worker } = await setup()
    for (const odd of ['\x01', '\x0b', '\x7f', '\r', '\n']) {
      worker.use([
        Buffer.from(`HTTP/1.1 200 OK\r\nX-Odd: a${odd}\r\nContent-Length: 2\r\n\r\n{}`, 'latin1'),
        close,
      ])
      assert.equal((await ask()).head.status, 502, JSON.stringify(odd))
    }
  })
})

test('of what browsers may do, only the list of the router counts', { timeout }, async () => {
  const { worker } = await setup()
  const allow = { 'access-control-allow-origin': '*', 'access-control-allow-credentials': 'true' }
  worker.use(answer(200, '{}', allow))
  const known = (await ask({ origin })).head
  assert.deepEqual(
    known.headers.filter(([name]) => /^access-control-allow/i.test(name)).map(([, value]) => value),
    [origin],
  )
  const foreign = (await ask({ origin: 'https://evil.example' })).head
  assert.ok(!foreign.headers.some(([name]) => /^access-control-/i.test(name)))
})
