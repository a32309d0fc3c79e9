/** A client certificate says who asks, where the runtime tells it; where it does not, such a list of keys is refused. */

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type ConnectionOptions, connect } from 'node:tls'
import type { ConfigInput } from '../../app/config/settings.ts'
import { hashOfKey } from '../../middleware/key-ring.ts'
import { within } from '../support/deadline.ts'
import { asTeam, certificateFile, mountedCertificate, pem, trusting } from '../support/listener-tls.ts'
import { rawRequest } from '../support/raw-client.ts'
import { runRouter } from '../support/router-process.ts'
import { chat, listenerA, secureRouter } from '../support/secure-router.ts'

const timeout = 30_000
const key = 'sk-team-b-0123456789-0123456789-0123456789-0123456789'
const keys = [
  { name: 'team-a', certificate: 'uri:spiffe://cluster/team-a', models: ['test-model', 'other'] },
  { name: 'team-b', hash: hashOfKey(key) },
]
const asking = { tlsClientCaFile: certificateFile('listener-ca.crt') }
/** A certificate of the same authority that names no tenant. */
const asNobody: ConnectionOptions = { ...trusting, cert: pem('listener-a.crt'), key: pem('listener-a.key') }

if (process.versions.bun !== undefined)
  test('certificates that are to name tenants are refused by name, at the start and while it runs', {
    timeout,
  }, async (t) => {
    await assert.rejects(
      secureRouter(t, { ...asking, keys }),
      /entry team-a, certificate\): Bun does not tell which certificate .*; run the router on Node/,
    )
    const { gateway } = await secureRouter(t, { ...asking, keys: keys.slice(1) })
    assert.throws(() => gateway.prepare({ ...gateway.config, keys: configured(keys) }), /Bun does not tell/)
    const { cert } = await mountedCertificate(t)
    const file = join(cert, '..', 'keys.json')
    await writeFile(file, JSON.stringify(keys))
    const flags = [
      ...['--tls-cert-file', listenerA.tlsCertFile, '--tls-key-file', listenerA.tlsKeyFile],
      ...['--tls-client-ca-file', asking.tlsClientCaFile, '--keys-file', file],
    ]
    for (const args of [flags, ['check-config', ...flags]]) {
      const { code, stderr } = await runRouter({ args, t })
      assert.equal(code, 2, stderr)
      assert.match(stderr, /Bun does not tell which certificate/)
    }
  })
else
  describe('a client with a certificate', () => {
    test('is the tenant that it names, with all that holds for it', { timeout }, async (t) => {
      const { address, worker, gateway } = await secureRouter(t, { ...asking, keys })
      const ask = async (tls: ConnectionOptions, headers: Record<string, string>, model = 'test-model') => {
        const { status } = await rawRequest({ ...address, tls, ...chat({ model }), headers }).text()
        const [last] = await gateway.control.requests({ limit: 1 })
        return [status, last?.tenant]
      }
      assert.deepEqual(await ask(asTeam, {}), [200, 'team-a'])
      assert.deepEqual(await ask(asTeam, { authorization: 'Bearer EMPTY' }), [200, 'team-a'])
      assert.deepEqual(await ask(asTeam, {}, 'foreign'), [404, 'team-a'])
      assert.deepEqual(await ask(asTeam, { 'x-api-key': key }), [200, 'team-b'])
      assert.deepEqual(await ask(asNobody, {}), [401, undefined])
      assert.deepEqual(await ask(asNobody, { 'x-api-key': key }), [200, 'team-b'])
      assert.equal(worker.requests.length, 4)
      const nobody = rawRequest({ ...address, tls: asNobody, path: '/v1/models' })
      assert.match((await nobody.text()).text, /The client certificate shown names no tenant/)
    })

    test('stays it in a session that is resumed, and is nobody once its entry is gone', {
      timeout,
    }, async (t) => {
      const { address, gateway } = await secureRouter(t, { ...asking, keys })
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
        const agent = new Agent({ ...asTeam, maxVersion: version, minVersion: version, keepAlive: true })
        t.after(() => agent.destroy())
        const first = await ask(agent, address.port)
        assert.deepEqual([first.status, first.resumed], [200, false])
        first.end()
        const again = await ask(agent, address.port)
        assert.deepEqual([again.status, again.resumed], [200, true], version)
        gateway.prepare({ ...gateway.config, keys: configured(keys.slice(1)) })()
        assert.equal((await ask(agent, address.port)).status, 401, 'on the same connection')
        gateway.prepare(gateway.config)()
      }
    })

    test('is refused once its authority is gone, also with a session from before', { timeout }, async (t) => {
      const mounted = await mountedCertificate(t)
      const file = join(mounted.cert, '..', 'authorities.crt')
      await writeFile(file, pem('listener-ca.crt'))
      const { address, gateway } = await secureRouter(t, { tlsClientCaFile: file, keys })
      const agents = (['TLSv1.2', 'TLSv1.3'] as const).map(
        (version) => new Agent({ ...asTeam, maxVersion: version, minVersion: version, keepAlive: true }),
      )
      for (const agent of agents) {
        t.after(() => agent.destroy())
        const { status, end } = await ask(agent, address.port)
        assert.equal(status, 200)
        end()
      }
      await writeFile(file, pem('client-ca.crt'))
      gateway.prepare(gateway.config)()
      for (const agent of agents) await assert.rejects(ask(agent, address.port))
    })

    test('cannot show another one on the same connection', { timeout }, async (t) => {
      const { address } = await secureRouter(t, { ...asking, keys })
      const socket = connect({ port: address.port, host: '127.0.0.1', ...asTeam, maxVersion: 'TLSv1.2' })
      t.after(() => socket.destroy())
      const failed = new Promise<NodeJS.ErrnoException>((resolve) => socket.once('error', resolve))
      socket.once('secureConnect', () => socket.renegotiate({}, () => {}))
      assert.equal((await within(5000, failed, 'a refusal')).code, 'ERR_SSL_NO_RENEGOTIATION')
    })
  })

function configured(given: typeof keys | ConfigInput['keys']) {
  return (given ?? []).map(({ name, hash, certificate, models }) => ({
    ...({ name, priority: 'normal', weight: 1, limits: {} } as const),
    hash: hash === undefined ? undefined : [hash].flat(),
    certificate: certificate === undefined ? undefined : [certificate].flat(),
    models: models === undefined ? undefined : [models].flat(),
  }))
}

interface Asked {
  readonly status: number | undefined
  readonly resumed: boolean
  /** Closes the connection. */
  end(): void
}

/** One request by an agent, which keeps connections and sessions. */
function ask(agent: Agent, port: number): Promise<Asked> {
  const { path, json } = chat()
  const asked = new Promise<Asked>((resolve, reject) => {
    const sent = request({ agent, port, path, host: '127.0.0.1', method: 'POST' }, (response) => {
      const socket = response.socket as import('node:tls').TLSSocket
      response.resume().once('end', () =>
        resolve({
          status: response.statusCode,
          resumed: socket.isSessionReused(),
          end: () => socket.destroy(),
        }),
      )
    })
    sent.setHeader('content-type', 'application/json')
    sent.once('error', reject).end(JSON.stringify(json))
  })
  return within(5000, asked, 'an answer')
}
