/** The API over TLS: who is let in, and that a stream is none the worse for it. */

import assert from 'node:assert/strict'
import { connect as connectTcp } from 'node:net'
import { describe, test } from 'node:test'
import type { ClientCertificate } from '../../../http/client-certificate.ts'
import { eventually, within } from '../../support/deadline.ts'
import { asTeam, certificateFile, pem, trusting } from '../../support/listener-tls.ts'
import { type RawAddress, rawRequest } from '../../support/raw-client.ts'
import { chat, secureRouter, shownTo } from '../../support/secure-router.ts'
import { chunk, head, reset, type Script, streamHead, wait } from '../../support/wire.ts'

const timeout = 30_000
const isBun = process.versions.bun !== undefined

/** Resolves with how the connection was refused; an answer is no refusal. */
async function refusal(address: RawAddress): Promise<string> {
  const exchange = rawRequest({ ...address, ...chat() })
  await assert.rejects(exchange.head)
  const { code, how } = await within(5000, exchange.connection.closed, 'the end')
  return code ?? how
}

describe('an API over TLS', () => {
  test('answers and streams over https, and speaks nothing else', { timeout }, async (t) => {
    const { api, operations, address } = await secureRouter(t)
    assert.match(api, /^https:/)
    assert.match(operations, /^http:/)
    assert.equal((await rawRequest({ ...address, ...chat() }).text()).status, 200)
    const stream = rawRequest({ ...address, ...chat({ stream: true }) })
    assert.ok((await stream.body).complete)
    assert.equal(stream.events.at(-1)?.data, '[DONE]')
    await refusal({ port: address.port })
  })

  test('takes TLS 1.2 and 1.3, and nothing older', { timeout }, async (t) => {
    const { address } = await secureRouter(t)
    const only = (version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3', more = {}) =>
      shownTo({ ...address, tls: { ...trusting, minVersion: version, maxVersion: version, ...more } })
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
      assert.deepEqual(await only(version), { name: 'listener a', version })
    // OpenSSL itself, which is below Node, refuses to try it unless told.
    await assert.rejects(only('TLSv1.1', isBun ? {} : { ciphers: 'DEFAULT@SECLEVEL=0' }), /protocol.version/i)
  })

  test('cuts the worker off when the client leaves in mid-stream', { timeout }, async (t) => {
    const { address, worker } = await secureRouter(t, {}, { tokens: 10_000, tokenMs: 5 })
    const stream = rawRequest({ ...address, ...chat({ stream: true }) })
    await stream.firstEvents(3)
    const left = performance.now()
    stream.abort()
    const { connection } = await worker.received()
    const { at } = await within(5000, connection.peerClosed, "the end of the worker's connection")
    assert.ok(at - left < 1000, `it took ${at - left} ms`)
  })

  test('holds the worker back while the client does not read', { timeout }, async (t) => {
    const { address, worker, gateway } = await secureRouter(t)
    let written = 0
    worker.use((request): Script | undefined => {
      const { prelude, tokens } = worker.answerTo(request)
      const piece = chunk(tokens[0]?.repeat(200) ?? '')
      const counted: Script = [piece, () => void written++]
      return request.stream
        ? [streamHead(), ...prelude.map(chunk), ...Array(20_000).fill(counted).flat()]
        : undefined
    })
    const stream = rawRequest({ ...address, ...chat({ stream: true }) })
    await stream.firstEvents(1)
    stream.pauseReading()
    let before = -1
    const standsStill = (): boolean => {
      const still = written === before
      before = written
      return still
    }
    await eventually(standsStill, { what: 'the worker stands still', withinMs: 15_000, everyMs: 500 })
    assert.ok(written < 20_000)
    stream.abort()
    await eventually(async () => (await gateway.control.workers())[0]?.in_flight === 0, {
      what: 'an empty router',
    })
  })

  for (const version of ['1.1', '1.0']) {
    test(`resets the connection of HTTP/${version} where an answer breaks off`, { timeout }, async (t) => {
      const { address, worker } = await secureRouter(t)
      const sound = head(200, { 'content-type': 'audio/wav', 'transfer-encoding': 'chunked' })
      worker.use([sound, chunk('hello'), wait(100), reset])
      const json = JSON.stringify({ model: 'test-model', input: 'x', voice: 'y' })
      const bytes = `POST /v1/audio/speech HTTP/${version}\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${json.length}\r\n\r\n${json}`
      const exchange = rawRequest({ ...address, bytes })
      assert.equal((await exchange.head).status, 200)
      const { how } = await within(5000, exchange.connection.closed, 'the end')
      assert.equal(how, 'reset')
    })
  }

  test('lets a slow client have its last bytes when the router stops', { timeout }, async (t) => {
    const { address, worker, gateway } = await secureRouter(t, { shutdownSettleSecs: 0 })
    const size = 8 * 2 ** 20
    const sound = head(200, { 'content-type': 'audio/wav', 'content-length': size })
    worker.use([sound, Buffer.alloc(size)])
    const exchange = rawRequest({
      ...address,
      path: '/v1/audio/speech',
      json: { model: 'test-model', input: 'x' },
    })
    await exchange.head
    exchange.pauseReading()
    const stopped = gateway.stop({ settle: false })
    setTimeout(() => exchange.resume(), 500)
    const { bytes, complete } = await within(20_000, exchange.body, 'the body')
    assert.deepEqual({ complete, size: bytes.length }, { complete: true, size })
    await within(10_000, stopped, 'the end of the router')
  })

  test('does not wait for a client that never ends its handshake when it stops', { timeout }, async (t) => {
    const { address, gateway } = await secureRouter(t)
    const socket = connectTcp({ port: address.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    t.after(() => socket.destroy())
    await new Promise((resolve) => socket.once('connect', resolve))
    const closed = new Promise((resolve) => socket.once('close', resolve))
    await within(8000, gateway.stop({ settle: false }), 'the end of the router')
    // Bun leaves it open until the process ends.
    if (!isBun) await within(2000, closed, 'the end of the connection')
  })
})

describe('an API that asks its clients for a certificate', () => {
  const asking = { tlsClientCaFile: certificateFile('listener-ca.crt') }

  test('serves who shows one of that authority, and nobody else', { timeout }, async (t) => {
    const { address, worker } = await secureRouter(t, asking)
    const team = rawRequest({ ...address, tls: asTeam, ...chat() })
    assert.equal((await team.text()).status, 200)
    const stranger = { ...trusting, cert: pem('self-signed.crt'), key: pem('self-signed.key') }
    for (const tls of [trusting, stranger]) await refusal({ ...address, tls })
    assert.equal(worker.requests.length, 1)
  })

  test('tells middleware who the client is, where the runtime knows', { timeout }, async (t) => {
    const seen: (ClientCertificate | undefined)[] = []
    const { address } = await secureRouter(t, {
      ...asking,
      middleware: [
        {
          position: 'before',
          middleware: (c, next) => {
            seen.push(c.env.incoming.clientCertificate)
            return next()
          },
        },
      ],
    })
    await rawRequest({ ...address, tls: asTeam, ...chat() }).text()
    const team = {
      commonName: 'team-a',
      dnsNames: ['team-a.example.com'],
      uris: ['spiffe://cluster/team-a'],
    }
    assert.deepEqual(seen, [isBun ? undefined : team])
  })

  test('knows nobody where it asks for none', { timeout }, async (t) => {
    const seen: unknown[] = []
    const { address } = await secureRouter(t, {
      middleware: [
        (c, next) => {
          seen.push(c.env.incoming.clientCertificate)
          return next()
        },
      ],
    })
    await rawRequest({ ...address, tls: asTeam, ...chat() }).text()
    assert.deepEqual(seen, [undefined])
  })
})
