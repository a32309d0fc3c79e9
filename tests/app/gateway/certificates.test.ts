/** Certificates of the listeners: which are refused, and how one follows another under load. */

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ConfigError } from '../../../app/config/problem.ts'
import { resolveOptions } from '../../../app/config/resolve-options.ts'
import type { ConfigInput } from '../../../app/config/settings.ts'
import { eventually, within } from '../../support/deadline.ts'
import { certificateFile, mountedCertificate, pem, trusting } from '../../support/listener-tls.ts'
import { openConnection, type RawAddress, rawRequest } from '../../support/raw-client.ts'
import { chat, listenerA, secureRouter, shownTo } from '../../support/secure-router.ts'
import { testGateway } from '../../support/test-gateway.ts'

const timeout = 30_000

/** Each with the setting that is named, and what is said of it. */
const wrong: readonly (readonly [string, ConfigInput, string, RegExp])[] = [
  [
    'expired',
    { tlsCertFile: 'listener-expired.crt' },
    '--tls-cert-file',
    /"listener expired" expired at 2021-01-01T00:00:00.000Z/,
  ],
  ['not yet valid', { tlsCertFile: 'listener-future.crt' }, '--tls-cert-file', /not valid before 2110-01-01/],
  ['not there', { tlsCertFile: 'nowhere.crt' }, '--tls-cert-file', /there is no such file/],
  ['a directory', { tlsCertFile: '' }, '--tls-cert-file', /it is a directory/],
  ['no PEM file', { tlsCertFile: 'README.md' }, '--tls-cert-file', /it is no PEM file/],
  [
    'the key',
    { tlsCertFile: 'listener-a.key' },
    '--tls-cert-file',
    /a private key, and no certificate.*wrong way round/,
  ],
  [
    'with the key of another',
    { tlsKeyFile: 'listener-b.key' },
    '--tls-key-file',
    /not the key of the certificate in .*listener-a.crt.*replace both/,
  ],
  [
    'with itself for a key',
    { tlsKeyFile: 'listener-a.crt' },
    '--tls-key-file',
    /no private key in it.*wrong way round/,
  ],
  [
    'with no authority for its clients',
    { tlsClientCaFile: 'self-signed.crt' },
    '--tls-client-ca-file',
    /"nobody vouches" is no authority/,
  ],
]

function inFolder(options: ConfigInput): ConfigInput {
  return Object.fromEntries(
    Object.entries(options).map(([key, name]) => [key, certificateFile(String(name))]),
  )
}

async function faultsOf(make: () => unknown): Promise<string[]> {
  try {
    await make()
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return error.faults.map(({ name, problem, hint = '' }) => `${name} ${problem}; ${hint}`)
  }
  return []
}

describe('a certificate that is', () => {
  for (const [what, options, setting, says] of wrong) {
    test(`${what} keeps the router from starting`, { timeout }, async () => {
      const found = await faultsOf(() => testGateway({ ...listenerA, ...inFolder(options) }))
      assert.equal(found.length, 1, found.join('\n'))
      assert.ok(found[0]?.startsWith(`${setting} `), found[0])
      assert.match(found[0] ?? '', says)
    })
  }

  test('cut off keeps it from starting too, wherever that is, and that file is named', async (t) => {
    const { cert } = await mountedCertificate(t)
    const file = join(cert, '..', 'cut.pem')
    const [own, authority] = [pem('listener-a.crt'), pem('listener-ca.crt')]
    const whole = `Of the listener: \n${own}\n# its authority\n${authority}`
    const cuts = [40, 300, 7, 2].map((bytes) => whole.trimEnd().slice(0, -bytes))
    for (const text of [...cuts, `${own}${authority.slice(0, 8)}`, own.slice(0, 200)]) {
      await writeFile(file, text)
      const found = await faultsOf(() => testGateway({ ...listenerA, tlsCertFile: file }))
      assert.deepEqual(found, ['--tls-cert-file it ends in the middle; it is being written, or was cut off'])
    }
    await writeFile(file, `${authority}${own.slice(0, 300)}`)
    assert.match(
      (await faultsOf(() => testGateway({ ...listenerA, tlsClientCaFile: file })))[0] ?? '',
      /^--tls-client-ca-file it ends in the middle/,
    )
    await writeFile(file, whole)
    await (await testGateway({ ...listenerA, tlsCertFile: file })).close()
  })

  test('wrong in two ways is told in one go', async () => {
    const operations = {
      prometheusTlsCertFile: certificateFile('listener-expired.crt'),
      prometheusTlsKeyFile: certificateFile('nowhere'),
    }
    assert.deepEqual(
      (await faultsOf(() => testGateway(operations))).map((fault) => fault.split(' ', 1)[0]),
      ['--prometheus-tls-cert-file', '--prometheus-tls-key-file'],
    )
  })

  test('given without its key, or the other way round, is a wrong configuration', () => {
    const halves: readonly (readonly [ConfigInput, string])[] = [
      [{ tlsCertFile: 'a' }, 'tlsKeyFile'],
      [{ tlsKeyFile: 'a' }, 'tlsCertFile'],
      [{ tlsClientCaFile: 'a' }, 'tlsCertFile'],
      [{ prometheusTlsCertFile: 'a' }, 'prometheusTlsKeyFile'],
      [{ prometheusTlsClientCaFile: 'a' }, 'prometheusTlsCertFile'],
      [{ workerClientCert: 'a' }, 'workerClientKey'],
    ]
    for (const [options, missing] of halves) {
      const says = new RegExp(`${missing} .*it is missing`)
      assert.throws(() => resolveOptions(options), says)
    }
  })
})

describe('a certificate that has changed', () => {
  test('is shown to new connections; open ones go on', { timeout }, async (t) => {
    const mounted = await mountedCertificate(t)
    const { gateway, address } = await secureRouter(t, { tlsCertFile: mounted.cert, tlsKeyFile: mounted.key })
    const open = openConnection(address)
    t.after(() => open.abort())
    assert.equal((await open.request(chat()).text()).status, 200)
    await mounted.use('listener-b.crt', 'listener-b.key')
    assert.equal((await shownTo(address)).name, 'listener a')
    gateway.prepare(gateway.config)()
    await eventually(async () => (await shownTo(address)).name === 'listener b', { what: 'the new one' })
    assert.equal((await within(5000, open.request(chat()).text(), 'an answer')).status, 200)
  })

  test('and is wrong leaves the one before it in place', { timeout }, async (t) => {
    const mounted = await mountedCertificate(t)
    const { gateway, address } = await secureRouter(t, { tlsCertFile: mounted.cert, tlsKeyFile: mounted.key })
    for (const [cert, key, says] of [
      ['listener-expired.crt', 'listener-a.key', /expired at/],
      ['listener-b.crt', 'listener-a.key', /not the key/],
      ['README.md', 'listener-a.key', /no PEM file/],
    ] as const) {
      await mounted.use(cert, key)
      const [fault = ''] = await faultsOf(() => gateway.prepare(gateway.config))
      assert.match(fault, says)
      assert.equal((await shownTo(address)).name, 'listener a')
    }
  })

  test('of authorities decides at once who is let in', { timeout }, async (t) => {
    const mounted = await mountedCertificate(t)
    await mounted.use('listener-ca.crt', 'team.key')
    const { gateway, address } = await secureRouter(t, { tlsClientCaFile: mounted.cert })
    const team: RawAddress = { ...address, tls: { ...trusting, cert: pem('team.crt'), key: pem('team.key') } }
    assert.equal((await rawRequest({ ...team, ...chat() }).text()).status, 200)
    await mounted.use('client-ca.crt', 'team.key')
    gateway.prepare(gateway.config)()
    const refused = async (): Promise<boolean> => {
      const exchange = rawRequest({ ...team, ...chat() })
      return exchange.head.then(
        () => false,
        () => true,
      )
    }
    await eventually(refused, { what: 'the first refusal' })
    for (let time = 0; time < 10; time++) assert.ok(await refused())
  })
})

describe('certificates that follow each other', () => {
  const streams = 200
  const swaps = 20

  test(`${swaps} times drop none of ${streams} streams, nor any request beside them`, {
    timeout: 60_000,
  }, async (t) => {
    const mounted = await mountedCertificate(t)
    const { gateway, address } = await secureRouter(
      t,
      { tlsCertFile: mounted.cert, tlsKeyFile: mounted.key },
      { tokens: 40, tokenMs: 75 },
    )
    const open = Array.from({ length: streams }, () => rawRequest({ ...address, ...chat({ stream: true }) }))
    await within(20_000, Promise.all(open.map((stream) => stream.firstEvents(1))), 'all streams')
    let swapping = true
    const failed: unknown[] = []
    let answered = 0
    /** A client as they usually are: it keeps its connection, and opens another when that was closed. */
    const client = async (): Promise<void> => {
      let connection = openConnection(address)
      while (swapping) {
        try {
          const exchange = connection.request({ path: '/v1/models' })
          const { status } = await within(5000, exchange.text(), 'an answer')
          assert.equal(status, 200)
          answered++
          const told = (await exchange.head).header('connection')
          if (told !== 'close') continue
          connection.abort()
          connection = openConnection(address)
        } catch (error) {
          failed.push(error)
          connection.abort()
          connection = openConnection(address)
        }
      }
      connection.abort()
    }
    const beside = Array.from({ length: 4 }, client)
    const names: string[] = []
    for (let swap = 0; swap < swaps; swap++) {
      const name = swap % 2 === 0 ? 'listener-b' : 'listener-a'
      await mounted.use(`${name}.crt`, `${name}.key`)
      gateway.prepare(gateway.config)()
      names.push((await shownTo(address)).name)
    }
    swapping = false
    await Promise.all(beside)
    assert.deepEqual(failed, [])
    assert.ok(answered > swaps, `${answered} requests`)
    assert.deepEqual(new Set(names), new Set(['listener a', 'listener b']))
    const ended = await within(30_000, Promise.all(open.map(({ body }) => body)), 'the end of all streams')
    assert.equal(ended.filter(({ complete }) => !complete).length, 0)
    assert.ok(open.every(({ events }) => events.at(-1)?.data === '[DONE]'))
  })
})
