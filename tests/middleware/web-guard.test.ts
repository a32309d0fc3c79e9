/** What a stranger's web page, a proxy or a rebound name cannot do to the admin routes. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { webGuard } from '../../middleware/web-guard.ts'
import { errorOf, middlewareApp } from '../support/middleware-app.ts'

type Headers = Readonly<Record<string, string>>

const json = { 'content-type': 'application/json' }

function guarded({ keyed = false, hosts = ['router.internal'] } = {}) {
  const { fetch } = middlewareApp([webGuard({ hosts, keyed })])
  return (method: string, headers: Headers) =>
    fetch('/workers', { method }, { headers: Object.entries({ host: '127.0.0.1:29000', ...headers }) })
}

describe('the name by which the admin routes are called', () => {
  for (const host of [
    ...['127.0.0.1:29000', '10.1.2.3', '[::1]:29000', '[fd00::7]', 'localhost', 'LocalHost:29000'],
    ...['router.internal', 'Router.Internal:29000'],
  ]) {
    test(`may be ${host}`, async () => {
      for (const method of ['GET', 'POST'])
        assert.equal((await guarded()(method, { ...json, host })).status, 200)
    })
  }

  for (const host of [
    'attacker.example',
    'localhost.attacker.example:29000',
    '1.2.3.4.attacker.example',
    '',
  ]) {
    test(`may not be ${JSON.stringify(host)}`, async () => {
      for (const method of ['GET', 'POST']) {
        const error = await errorOf(await guarded()(method, { ...json, host }), 403, 'forbidden')
        assert.match(error.message, /--admin-hosts/)
      }
    })
  }

  test('may be any name for those who read and have a key, and for nobody who changes', async () => {
    const send = guarded({ keyed: true })
    const named = { ...json, host: 'prometheus-sees.example' }
    for (const method of ['GET', 'HEAD', 'OPTIONS']) assert.equal((await send(method, named)).status, 200)
    await errorOf(await send('POST', named), 403, 'forbidden')
  })

  test('is that of the URL where there is no Host', async () => {
    const { fetch } = middlewareApp([webGuard({ hosts: ['gateway.test'], keyed: false })])
    assert.equal((await fetch('/workers', {}, { headers: [] })).status, 200)
    const strict = middlewareApp([webGuard({ hosts: [], keyed: false })])
    await errorOf(await strict.fetch('/workers', {}, { headers: [] }), 403, 'forbidden')
  })
})

describe('a change that a web page sends', () => {
  const host = '127.0.0.1:29000'

  test('passes from the router’s own pages, over TLS too', async () => {
    for (const headers of [
      { origin: `http://${host}` },
      { origin: `https://${host}` },
      { origin: `HTTP://${host}`, 'sec-fetch-site': 'same-origin' },
      { 'sec-fetch-site': 'none' },
    ])
      assert.equal((await guarded()('POST', { ...json, ...headers })).status, 200, JSON.stringify(headers))
  })

  test('is refused from another origin, and from another site, with a key too', async () => {
    for (const headers of [
      { origin: 'https://attacker.example' },
      { origin: 'http://127.0.0.1:8080', 'sec-fetch-site': 'same-origin' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: `http://${host}`, 'sec-fetch-site': 'cross-site' },
    ]) {
      for (const keyed of [false, true]) {
        const answer = await guarded({ keyed })('POST', { ...json, ...headers })
        assert.match((await errorOf(answer, 403, 'forbidden')).message, /another origin/)
      }
    }
  })
})

describe('a change that comes through a proxy', () => {
  for (const field of ['Forwarded', 'Via', 'X-Real-IP', 'X-Forwarded-For', 'x-forwarded-host']) {
    test(`with ${field} wants a key`, async () => {
      const headers = { ...json, [field]: '10.0.0.1' }
      const error = await errorOf(await guarded()('POST', headers), 403, 'forbidden')
      assert.ok(error.message.includes(field.toLowerCase()))
      assert.equal((await guarded({ keyed: true })('POST', headers)).status, 200)
      assert.equal((await guarded()('GET', headers)).status, 200)
    })
  }
})

describe('the body of a change', () => {
  test('is JSON, or there is none', async () => {
    for (const headers of [
      {},
      { 'content-length': '0' },
      { 'content-type': 'application/json', 'content-length': '2' },
      { 'content-type': 'Application/JSON; charset=utf-8', 'transfer-encoding': 'chunked' },
    ] as Headers[])
      assert.equal((await guarded()('POST', headers)).status, 200, JSON.stringify(headers))
  })

  test('is nothing that a form can send', async () => {
    for (const headers of [
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/x-www-form-urlencoded', 'content-length': '0' },
      { 'content-type': 'application/json-patch+json' },
      { 'content-length': '2' },
      { 'transfer-encoding': 'chunked' },
      { 'content-length': '0', 'transfer-encoding': 'chunked' },
    ] as Headers[])
      await errorOf(await guarded()('POST', headers), 415, 'unsupported_media_type')
  })
})
