/** Proxies in front of the router: whose word on a client is believed, and what workers get to know. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ConfigInput } from '../../app/config/settings.ts'
import { trusting } from '../support/listener-tls.ts'
import { rawRequest } from '../support/raw-client.ts'
import type { Scope } from '../support/scope.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { chat, listenerA } from '../support/secure-router.ts'
import { testGateway } from '../support/test-gateway.ts'

const timeout = 20_000
const told = [
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'forwarded',
  'x-real-ip',
]

async function routerBehind(t: Scope, options: ConfigInput) {
  const worker = await startScriptedWorker(undefined, { t })
  const gateway = await testGateway({ port: 0, prometheusPort: 0, workerUrls: [worker.url], ...options })
  t.after(() => gateway.close())
  const { api } = await gateway.start()
  const port = Number(new URL(api).port)
  /** What the worker was told, and who the router says the client is. */
  async function send(headers: Readonly<Record<string, string>>) {
    const tls = api.startsWith('https:') ? trusting : undefined
    const exchange = rawRequest({ port, tls, ...chat(), headers: { host: 'llm.example.com', ...headers } })
    assert.equal((await exchange.text()).status, 200)
    const request = worker.requests.at(-1)
    const fields = told.flatMap((name) => {
      const value = request?.header(name)
      return value === undefined ? [] : [[name, value]]
    })
    const [view] = await gateway.control.requests({ limit: 1 })
    return { worker: Object.fromEntries(fields), client: view?.client }
  }
  return { gateway, send }
}

const own = {
  'x-forwarded-for': '127.0.0.1',
  'x-forwarded-proto': 'http',
  'x-forwarded-host': 'llm.example.com',
}

describe('a client that nobody vouches for', () => {
  test('is its own address, and workers hear nothing that it says of itself', { timeout }, async (t) => {
    const { send } = await routerBehind(t, {})
    assert.deepEqual(await send({}), { worker: own, client: '127.0.0.1' })
    const lies = {
      'X-Forwarded-For': '1.2.3.4',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'evil',
      'X-Forwarded-Port': '1',
      Forwarded: 'for=1.2.3.4',
      'X-Real-IP': '1.2.3.4',
    }
    assert.deepEqual(await send(lies), { worker: own, client: '127.0.0.1' })
  })

  test('came over https where it did', { timeout }, async (t) => {
    const { send } = await routerBehind(t, listenerA)
    assert.deepEqual((await send({})).worker, { ...own, 'x-forwarded-proto': 'https' })
  })
})

describe('a proxy that is believed', () => {
  test('says who the client is, and workers hear all of it, with one address more', {
    timeout,
  }, async (t) => {
    const { send } = await routerBehind(t, { trustedProxies: ['127.0.0.0/8'] })
    const said = {
      'x-forwarded-for': '6.6.6.6, 1.2.3.4',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'outside.example.com',
      'x-forwarded-port': '443',
      forwarded: 'for=1.2.3.4',
      'x-real-ip': '1.2.3.4',
    }
    assert.deepEqual(await send(said), {
      client: '1.2.3.4',
      worker: {
        ...said,
        'x-forwarded-for': '6.6.6.6, 1.2.3.4, 127.0.0.1',
        forwarded: 'for=1.2.3.4, for=127.0.0.1',
      },
    })
    assert.deepEqual(await send({}), { worker: own, client: '127.0.0.1' })
  })

  test('says it in the header that is named, and only in that', { timeout }, async (t) => {
    const { send } = await routerBehind(t, { trustedProxies: '127.0.0.1', trustedProxiesHeader: 'forwarded' })
    const both = { 'x-forwarded-for': '6.6.6.6', forwarded: 'for="[2001:db8::1]:80";proto=https' }
    assert.equal((await send(both)).client, '2001:db8::1')
  })

  test('is believed from the next request on when the setting is reloaded', { timeout }, async (t) => {
    const { gateway, send } = await routerBehind(t, {})
    const said = { 'x-forwarded-for': '1.2.3.4' }
    assert.equal((await send(said)).client, '127.0.0.1')
    gateway.prepare({ ...gateway.config, trustedProxies: ['127.0.0.1'] })()
    assert.equal((await send(said)).client, '1.2.3.4')
  })

  test('breaks no request with what cannot be read', { timeout }, async (t) => {
    const { send } = await routerBehind(t, {
      trustedProxies: ['127.0.0.1'],
      trustedProxiesHeader: 'forwarded',
    })
    for (const value of ['for="', '"', ';;;', 'for=;', `for=${'x'.repeat(5000)}`, ','.repeat(3000)]) {
      const { client } = await send({ forwarded: value, 'x-forwarded-for': value })
      assert.equal(client, '127.0.0.1')
    }
  })
})
