/** Requests that two servers could read differently are refused, and nothing of them reaches a worker. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { within } from '../support/deadline.ts'
import { openConnection } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { send } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'

const timeout = 30_000
const body = '{"model":"test-model","prompt":"hi"}'
const hex = body.length.toString(16)
const chunked = `${hex}\r\n${body}\r\n0\r\n\r\n`
const start = 'POST /v1/completions HTTP/1.1\r\n'
const type = 'Content-Type: application/json\r\n'
const smuggled = 'POST /v1/completions HTTP/1.1\r\nHost: a\r\nX-Smuggled: yes\r\nContent-Length: 0\r\n\r\n'

const requests: Readonly<Record<string, string>> = {
  'two Host fields': `${start}Host: a\r\nHost: b\r\n${type}Content-Length: ${body.length}\r\n\r\n${body}`,
  'an empty Host field': `${start}Host:\r\n${type}Content-Length: ${body.length}\r\n\r\n${body}`,
  'a path in its Host field': `${start}Host: a/b?c#d\r\n${type}Content-Length: ${body.length}\r\n\r\n${body}`,
  'a user in its Host field': `${start}Host: a@b\r\n${type}Content-Length: ${body.length}\r\n\r\n${body}`,
  'no Host field': `${start}${type}Content-Length: ${body.length}\r\n\r\n${body}`,
  'Content-Length and Transfer-Encoding': `${start}Host: a\r\n${type}Content-Length: ${chunked.length}\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}`,
  'Transfer-Encoding and Content-Length, the length too short': `${start}Host: a\r\n${type}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n${chunked}${smuggled}`,
  'two different lengths': `${start}Host: a\r\n${type}Content-Length: ${body.length}\r\nContent-Length: 5\r\n\r\n${body}`,
  'a length that is no number': `${start}Host: a\r\n${type}Content-Length: +${body.length}\r\n\r\n${body}`,
  'Transfer-Encoding: gzip, chunked': `${start}Host: a\r\n${type}Transfer-Encoding: gzip, chunked\r\n\r\n${chunked}`,
  'Transfer-Encoding: identity': `${start}Host: a\r\n${type}Transfer-Encoding: identity\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  'a chunk size that is no number': `${start}Host: a\r\n${type}Transfer-Encoding: chunked\r\n\r\nzz\r\n${body}\r\n0\r\n\r\n`,
  'a blank before the colon': `${start}Host: a\r\n${type}Content-Length : ${body.length}\r\n\r\n${body}`,
  'a line feed within a value': `${start}Host: a\r\n${type}X-A: b\nX-Smuggled: yes\r\nContent-Length : 0\r\n\r\n`,
}

const setup = shared(async (t) => {
  const worker = await startScriptedWorker(undefined, { t })
  return { worker, router: await routerOver([worker], { t }) }
})

describe('an ambiguous request', () => {
  for (const [what, bytes] of Object.entries(requests)) {
    test(`with ${what} gets 400 and ends the connection`, { timeout }, async (t) => {
      const { worker, router } = await setup()
      const before = worker.requests.length
      const connection = openConnection({ port: router.apiPort })
      t.after(() => connection.abort())
      const exchange = connection.request({ method: 'POST', bytes })
      const { status } = await within(5000, exchange.head, 'an answer')
      assert.equal(status, 400)
      await within(5000, connection.closed, 'the end of the connection')
      const next = await send(router.apiPort, { path: '/v1/completions', json: JSON.parse(body) })
      assert.equal(next.head.status, 200)
      const reached = worker.requests.slice(before)
      assert.equal(reached.length, 1, 'only the request after it reaches the worker')
      assert.equal(reached[0]?.header('x-smuggled'), undefined)
    })
  }

  test('is not one with an unusual Host', { timeout }, async () => {
    const { router } = await setup()
    for (const host of [
      'localhost',
      'LOCALHOST:80',
      '[::1]:8080',
      '127.0.0.1',
      'a_b.c-d.example.',
      'xn--bcher-kva.example:8000',
    ]) {
      const { head } = await send(router.apiPort, {
        path: '/v1/completions',
        json: JSON.parse(body),
        headers: { host },
      })
      assert.equal(head.status, 200, host)
    }
  })

  test('is not the same as one with fields beyond the limit, which gets 431', { timeout }, async () => {
    const { worker, router } = await setup()
    const before = worker.requests.length
    const headers = { 'x-large': 'x'.repeat(80 * 1024) }
    const { head } = await send(router.apiPort, { path: '/v1/completions', json: JSON.parse(body), headers })
    assert.equal(head.status, 431)
    assert.equal(worker.requests.length, before)
  })
})
