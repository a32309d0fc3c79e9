/** Workers behind https: whom the router trusts, what it shows of itself, and what it says when that does not fit. */

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { resolveOptions } from '../../../app/config/resolve-options.ts'
import { parseWorkerList } from '../../../app/config/worker-list.ts'
import { readWorkerTls } from '../../../app/config/worker-tls.ts'
import { createGateway } from '../../../app/index.ts'
import { remedyFor } from '../../../app/workers/remedy.ts'
import { startProgram } from '../../support/child.ts'
import { eventually, within } from '../../support/deadline.ts'
import { registering } from '../../support/discovering.ts'
import { mountedCertificate } from '../../support/listener-tls.ts'
import { rawRequest } from '../../support/raw-client.ts'
import type { Scope } from '../../support/scope.ts'

const timeout = 30_000
const file = (name: string): string =>
  fileURLToPath(new URL(`../../support/certificates/${name}`, import.meta.url))
const models = '{"object":"list","data":[{"id":"m"}]}'

async function httpsWorker(t: Scope, options: ServerOptions = {}): Promise<string> {
  const [key, cert] = await Promise.all(['server.key', 'server.crt'].map((name) => readFile(file(name))))
  const server = createServer({ key, cert, ...options }, (request, response) => {
    request.resume()
    response.setHeader('content-type', 'application/json')
    response.end(request.url === '/v1/models' ? models : '{}')
  })
  await new Promise<void>((resolve) => server.listen(0, resolve))
  t.after(() => server.close())
  return `https://localhost:${(server.address() as AddressInfo).port}`
}

async function gatewayOver(t: Scope, url: string, options: object = {}) {
  const given = { port: 0, prometheusPort: 0, workerUrls: [url], ...options }
  const gateway = await createGateway(given)
  t.after(() => gateway.close())
  const { api } = await gateway.start()
  return { gateway, given, port: Number(new URL(api).port) }
}

describe('a worker behind https', () => {
  test('serves where its authority is named', { timeout }, async (t) => {
    const url = await httpsWorker(t)
    const { port } = await gatewayOver(t, url, { workerCaFile: file('ca.crt') })
    const exchange = rawRequest({ port, path: '/v1/completions', json: { model: 'm', prompt: 'x' } })
    assert.deepEqual(await within(5000, exchange.text(), 'an answer'), { status: 200, text: '{}' })
  })

  test('is not up where it is not, and the state says why', { timeout }, async (t) => {
    const url = await httpsWorker(t)
    for (const options of [{}, { workerCaFile: file('other-ca.crt') }]) {
      const { gateway } = await gatewayOver(t, url, options)
      const [worker] = await gateway.control.workers()
      assert.equal(worker?.health, 'starting')
      assert.match(remedyFor(worker?.last_error?.message) ?? '', /--worker-ca-file/)
    }
  })

  test('gets the certificate of the router where it asks for one', { timeout }, async (t) => {
    const ca = await readFile(file('client-ca.crt'))
    const url = await httpsWorker(t, { ca, requestCert: true, rejectUnauthorized: true })
    const trusting = { workerCaFile: file('ca.crt') }
    const shown = { workerClientCert: file('client.crt'), workerClientKey: file('client.key') }
    const { gateway } = await gatewayOver(t, url, { ...trusting, ...shown })
    await eventually(async () => (await gateway.control.vitals()).available === 1, {
      what: 'it is available',
    })
    const without = await gatewayOver(t, url, trusting)
    assert.equal((await without.gateway.control.vitals()).available, 0)
    const told = async () => remedyFor((await without.gateway.control.workers())[0]?.last_error?.message)
    assert.match((await told()) ?? '', /--worker-client-cert/)
  })

  test('may bear another name than its host, where that is said', { timeout }, async (t) => {
    const files = await Promise.all(['listener-a.key', 'listener-a.crt'].map((name) => readFile(file(name))))
    const url = await httpsWorker(t, { key: files[0], cert: files[1] })
    const byAddress = url.replace('localhost', '127.0.0.2')
    const trusting = { workerCaFile: file('listener-ca.crt') }
    const { gateway } = await gatewayOver(t, byAddress, trusting)
    assert.equal((await gateway.control.vitals()).available, 0)
    for (const [workerServerName, available] of [
      ['other.example.com', 0],
      ['router.example.com', 1],
    ] as const) {
      const named = await gatewayOver(t, byAddress, { ...trusting, workerServerName })
      await eventually(async () => (await named.gateway.control.vitals()).available === available, {
        what: `${available} with ${workerServerName}`,
      })
    }
  })

  test('gets another certificate of the router when its file has changed', { timeout }, async (t) => {
    const [ca, key, cert] = await Promise.all(
      ['listener-ca.crt', 'listener-a.key', 'listener-a.crt'].map((name) => readFile(file(name))),
    )
    const url = await httpsWorker(t, { key, cert, ca, requestCert: true, rejectUnauthorized: true })
    const mounted = await mountedCertificate(t)
    await mounted.use('self-signed.crt', 'self-signed.key')
    const { gateway, given } = await gatewayOver(t, url, {
      ...{ workerCaFile: file('listener-ca.crt'), workerStartupCheckInterval: 0.05 },
      ...{ workerClientCert: mounted.cert, workerClientKey: mounted.key },
    })
    assert.equal((await gateway.control.vitals()).available, 0)
    await mounted.use('team.crt', 'team.key')
    gateway.reconfigure(given)
    await eventually(async () => (await gateway.control.vitals()).available === 1, {
      what: 'it is available',
    })
  })
})

describe('the files for it', () => {
  test('are checked at the start, each by name', async () => {
    const wrong = join(tmpdir(), `no-pem-${process.pid}`)
    await writeFile(wrong, 'hello')
    for (const [options, says] of [
      [{ workerCaFile: '/does/not/exist' }, /--worker-ca-file: there is no such file|there is no such file/],
      [{ workerCaFile: wrong }, /no PEM file/],
      [{ workerClientCert: file('server.crt'), workerClientKey: wrong }, /worker-client-key.*no PEM file/s],
    ] as const) {
      assert.throws(() => readWorkerTls(resolveOptions(options)), says)
    }
    assert.equal(readWorkerTls(resolveOptions()), undefined)
  })

  test('are told by check-config, and before any of several processes starts', { timeout }, async (t) => {
    for (const verb of [['check-config'], []]) {
      const args = [...verb, '--worker-ca-file', '/does/not/exist', '--processes', '2']
      const program = startProgram({ file: 'app/main.ts', args, t })
      assert.equal((await within(20_000, program.exited, 'the end')).code, 2)
      assert.match(program.stderr(), /^ +--worker-ca-file \(\/does\/not\/exist\): there is no such file$/m)
      assert.equal(program.lines().length, 0)
    }
  })

  test('come in pairs: certificate and key', () => {
    assert.throws(() => resolveOptions({ workerClientCert: '/a' }), /workerClientKey.*missing/s)
    assert.throws(() => resolveOptions({ workerClientKey: '/a' }), /workerClientCert.*missing/s)
  })
})

describe('a worker with files of its own', () => {
  test('is trusted by them, and by those for all no more; a change of them acts on the next connection', {
    timeout,
  }, async (t) => {
    const ca = await readFile(file('client-ca.crt'))
    const strict = await httpsWorker(t, { ca, requestCert: true, rejectUnauthorized: true })
    const list = join(tmpdir(), `workers-${process.pid}-${t.name.length}.json`)
    const own = { ca_file: file('ca.crt'), client_cert: file('client.crt'), client_key: file('client.key') }
    const write = (entry: object) => writeFile(list, JSON.stringify([{ url: strict, ...entry }]))
    await write(own)
    const options = { workerUrls: [], workerUrlsFile: list, workerCaFile: file('other-ca.crt') }
    const gateway = await createGateway({
      ...{ port: 0, prometheusPort: 0, healthCheckIntervalSecs: 0.05, healthFailureThreshold: 1 },
      ...options,
    })
    t.after(() => gateway.close())
    await gateway.start()
    const health = (name: string) =>
      eventually(async () => (await gateway.control.workers())[0]?.health === name, {
        what: name,
        withinMs: 15_000,
      })
    await health('healthy')
    await write({ ca_file: file('ca.crt') })
    await health('unhealthy')
    await write(own)
    await health('healthy')
  })

  test('is not taken over from a list whose files are wrong', () => {
    const entry = (rest: object) => () => parseWorkerList(JSON.stringify([{ url: 'https://a', ...rest }]))
    assert.throws(
      entry({ ca_file: '/does/not/exist' }),
      /entry 1: ca_file \/does\/not\/exist: there is no such file/,
    )
    assert.throws(entry({ client_cert: '/a' }), /client_cert and client_key belong together/)
    assert.throws(entry({ ca_file: 3 }), /ca_file is not the path of a file/)
    assert.throws(entry({ server_name: 3 }), /server_name is not a host name/)
    assert.deepEqual(parseWorkerList('[{"url":"https://a","server_name":"b"}]')[0]?.tls, { serverName: 'b' })
  })

  test('shares them with the worker behind another path of its origin', () => {
    const told: unknown[] = []
    const { registry } = registering({ setTls: (...call) => told.push(call) })
    const tls = { ca: 'x' }
    registry.assign('file', [{ url: 'https://a/one', tls }, { url: 'https://a/two' }])
    registry.assign('file', [{ url: 'https://a/two', tls }])
    registry.assign('file', [])
    assert.deepEqual(told.at(0), ['https://a', tls])
    assert.deepEqual(told.at(-1), ['https://a', undefined])
  })
})

describe('what a person is told to do about a worker that is not up', () => {
  for (const [error, says] of [
    ['ECONNREFUSED', /nobody listens/],
    ['ENOTFOUND', /no such host/],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', /--worker-ca-file/],
    ['CERT_HAS_EXPIRED', /out of date/],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', /--worker-client-cert/],
    ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', /--worker-client-cert/],
    ['ECONNRESET', /--worker-client-cert/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', /another name/],
    ['ERR_SSL_WRONG_VERSION_NUMBER', /http:\/\//],
    ['BAD_STATUS_LINE', /https:\/\//],
    ['status 401', /--api-key/],
    ['status 404', /before \/v1/],
    ['status 503', /its own log/],
    ['no answer within 5 s', /firewall/],
  ] as const) {
    test(`after ${error}`, () => assert.match(remedyFor(`probe: ${error}`) ?? '', says))
  }

  test('nothing where nobody knows', () => assert.equal(remedyFor('probe: something new'), undefined))
})
