/** Who may ask for what: the list of keys, in a file of its own or in the configuration, and all that may be wrong with it. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Ajv } from 'ajv'
import fc from 'fast-check'
import { parse, stringify } from 'yaml'
import { changedKeys } from '../../../app/config/changes.ts'
import { configJsonSchema } from '../../../app/config/json-schema.ts'
import { keyEntries } from '../../../app/config/key-entries.ts'
import { kebabCase } from '../../../app/config/kinds/setting.ts'
import { loadConfig } from '../../../app/config/load-config.ts'
import { printConfig } from '../../../app/config/print-config.ts'
import { formatProblems } from '../../../app/config/problem.ts'
import { resolveOptions } from '../../../app/config/resolve-options.ts'
import type { ConfigInput } from '../../../app/config/settings.ts'
import { certificateFaults } from '../../../app/config/tls-faults.ts'
import { createGateway } from '../../../app/index.ts'
import { hashOfKey, type KeyEntry } from '../../../middleware/key-ring.ts'

const hash = (letter: string) => `sha256:${letter.repeat(64)}`

/** Of an API whose clients show certificates. */
const askingFlags = ['cert', 'key', 'client-ca'].flatMap((part) => [`--tls-${part}-file`, 'x.pem'])

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'router-keys-'))
})
after(() => rm(folder, { recursive: true }))

interface Given {
  readonly keys?: string
  readonly config?: string
  readonly env?: Readonly<Record<string, string>>
  readonly argv?: readonly string[]
}

async function load({ keys, config, env = {}, argv = [] }: Given) {
  const flags = [...argv]
  if (keys !== undefined) {
    await writeFile(join(folder, 'keys.yaml'), keys)
    flags.push('--keys-file', 'keys.yaml')
  }
  if (config !== undefined) {
    await writeFile(join(folder, 'router.yaml'), config)
    flags.push('--config', 'router.yaml')
  }
  return loadConfig({ argv: flags, env, cwd: folder })
}

async function entriesOf(given: Given): Promise<readonly KeyEntry[]> {
  const loaded = await load(given)
  if (!loaded.ok) assert.fail(formatProblems(loaded.faults))
  return keyEntries(loaded.config) ?? assert.fail('there is no list')
}

async function faultsOf(given: Given): Promise<string[]> {
  const loaded = await load(given)
  return loaded.ok
    ? []
    : formatProblems(loaded.faults)
        .split('\n')
        .slice(1)
        .map((line) => line.trim().replaceAll(/ +/g, ' '))
}

describe('a list of keys', () => {
  const list = [
    `- name: team-a`,
    `  hash: ${hash('A')}`,
    `- name: team-b`,
    `  hash: [${hash('b')}, ${hash('c')}]`,
    `  models: [gpt, org/m:7b]`,
    `  routes: [/v1/chat/completions/, /v1/audio/*]`,
    `  priority: high`,
    `  weight: 2.5`,
    `  limits: { requests-per-minute: 600, prompt_tokens_per_minute: 1000, completionTokensPerMinute: 7, requests-in-flight: 8 }`,
    `  expires: 2030-12-31T18:00:00+02:00`,
    `- name: by-token`,
  ]
  const entries = [
    { name: 'team-a', priority: 'normal', weight: 1, limits: {}, hash: [hash('a')] },
    {
      ...{ name: 'team-b', models: ['gpt', 'org/m:7b'], routes: ['/v1/chat/completions', '/v1/audio/*'] },
      ...{ priority: 'high', weight: 2.5 },
      limits: {
        ...{ requestsPerMinute: 600, promptTokensPerMinute: 1000 },
        ...{ completionTokensPerMinute: 7, requestsInFlight: 8 },
      },
      ...{ hash: [hash('b'), hash('c')], expires: '2030-12-31T16:00:00.000Z' },
    },
    { name: 'by-token', priority: 'normal', weight: 1, limits: {} },
  ]

  test('means the same in a file of its own, in a configuration file, in JSON and in a program', async () => {
    const own = list.join('\n')
    const within = `keys:\n${list.map((line) => `  ${line}`).join('\n')}`
    const written = JSON.parse(JSON.stringify(parse(own)))
    assert.deepEqual(await entriesOf({ keys: own }), entries)
    assert.deepEqual(await entriesOf({ config: within }), entries)
    assert.deepEqual(await entriesOf({ keys: JSON.stringify(written, null, 1) }), entries)
    const { keys } = resolveOptions({ keys: written } as ConfigInput)
    assert.deepEqual(keys, entries)
    const again = resolveOptions(resolveOptions({ keys: written } as ConfigInput) as ConfigInput)
    assert.deepEqual(again.keys, entries)
    const program = join(folder, 'router.config.mjs')
    await writeFile(program, `export default { keys: ${JSON.stringify(written)} }`)
    const loaded = await loadConfig({ argv: ['--config', program], env: {} })
    assert.deepEqual(loaded.ok && loaded.config.keys, entries)
  })

  test('may stand in both places, and then all of them count', async () => {
    const found = await entriesOf({ keys: '- name: of-file', config: 'keys: [{ name: of-config }]' })
    assert.deepEqual(
      found.map(({ name }) => name),
      ['of-config', 'of-file'],
    )
  })

  test('is not there, or is there and empty, which lets nobody in', async () => {
    const none = await load({})
    assert.equal(none.ok && keyEntries(none.config), undefined)
    assert.deepEqual(await entriesOf({ keys: '[]' }), [])
    assert.deepEqual(await entriesOf({ config: 'keys: []' }), [])
  })

  test('may refer to variables and files, and shows nothing of what they lead to', async () => {
    await writeFile(join(folder, 'hash'), `${hash('d')}\n`)
    const keys =
      '- name: ${WHO}\n  hash: ["${HASH}", "${file:hash}"]\n  models: ["${MODEL:-gpt}"]\n  weight: ${W:-3}'
    const env = { WHO: 'team-a', HASH: hash('e') }
    assert.deepEqual(await entriesOf({ keys, env }), [
      {
        ...{ name: 'team-a', models: ['gpt'], priority: 'normal', weight: 3, limits: {} },
        hash: [hash('e'), hash('d')],
      },
    ])
    const wrong = await faultsOf({ keys, env: { WHO: 'secret name', HASH: 'sk-secret', W: 'secret' } })
    assert.deepEqual(wrong.length, 3)
    assert.doesNotMatch(wrong.join(), /secret/)
    assert.match(
      wrong.join('\n'),
      /keys\[0\]\.name \(file keys\.yaml:1:9, from \$\{WHO\}\): got a value that is not/,
    )
    assert.deepEqual(await faultsOf({ keys, env: { WHO: 'a' } }), [
      'keys[0].hash (file keys.yaml:2:10): the reference "${HASH}" is a variable that is not set',
    ])
  })

  test('may use the aliases of YAML', async () => {
    const keys = `- &a\n  name: a\n  hash: &h ${hash('1')}\n  limits: &l { requests-in-flight: 1 }\n- { name: b, limits: *l }`
    assert.deepEqual((await entriesOf({ keys }))[1]?.limits, { requestsInFlight: 1 })
    assert.match(
      (await faultsOf({ keys: '- { name: a, limits: *nope }' })).join(),
      /keys\.yaml:1:\d+.*the alias stands for nothing/,
    )
    assert.match((await faultsOf({ keys: '&a [*a]' })).join(), /keys\[0\].*got a/)
  })

  test('may be long: then it is read aside, with the same words', { timeout: 20_000 }, async () => {
    const long = Array.from(
      { length: 1000 },
      (_, at) => `- name: tenant-${at}\n  hash: \${HASH_${at}}\n  weight: 2`,
    )
    const env = Object.fromEntries(long.map((_, at) => [`HASH_${at}`, hashOfKey(String(at))]))
    const found = await entriesOf({ keys: long.join('\n'), env })
    assert.equal(found.length, 1000)
    assert.deepEqual(found[999]?.hash, [hashOfKey('999')])
    long[998] = '- name: tenant-5\n  hash: ${NOPE}\n  weight: much'
    assert.deepEqual(await faultsOf({ keys: long.join('\n'), env }), [
      'keys[998].hash (file keys.yaml:2996:9): the reference "${NOPE}" is a variable that is not set',
      'keys[998].weight (file keys.yaml:2997:11): got "much"; allowed: a number from 0.001 to 1000000',
      'keys[998].name (file keys.yaml:2995:9): the name is given twice, first in file keys.yaml:16:9',
    ])
  })

  test('is taken over or refused whole, and its change is told by name', async () => {
    const usual = [{ name: 'a' }, { name: 'b' }]
    const before = resolveOptions({ keys: usual })
    const next = resolveOptions({ keys: [{ name: 'b', hash: hash('1') }, { name: 'c' }] })
    assert.deepEqual(changedKeys(before, next), [
      {
        setting: 'keys',
        before: '2 set, not shown',
        after: '2 set, not shown; added: c; removed: a; changed: b',
      },
    ])
    assert.deepEqual(changedKeys(before, before), [])
    const [file] = changedKeys(resolveOptions(), resolveOptions({ fileKeys: usual }))
    assert.deepEqual([file?.setting, file?.before], ['what is in --keys-file', 'none'])
  })

  test('is not shown when the configuration is printed', async () => {
    const loaded = await load({ keys: `- name: team-a\n  hash: ${hash('a')}` })
    assert.ok(loaded.ok)
    const printed = printConfig(loaded.config, loaded.origins)
    assert.match(printed, /^# keys: 1 set, not shown$/m)
    assert.match(printed, /^keys-file: keys\.yaml/m)
    assert.doesNotMatch(printed, /team-a|aaaa/)
  })
})

describe('what is wrong with it', () => {
  test('is said all at once, with line, column, field and what is allowed', async () => {
    const keys = [
      '- name: team a',
      '  hash: [abc, sha256:00]',
      '  wieght: 3',
      '  key: sk-secret-key',
      '  priority: hihg',
      '  weight: -1',
      '  models: []',
      '  routes: ["/v1/*", v1, "/v1/*/x", "/v1/%41", "/v1/../x"]',
      '  expires: 2026-02-30',
      '  limits: { requests-per-minut: 1, prompt-tokens-per-minute: 0, requests_in_flight: 1, requestsInFlight: 1 }',
      '- sk-secret-key',
      '- models: { a: 1 }',
      '- name: [a]',
      '  limits: 5',
      '  hash:',
    ].join('\n')
    const faults = await faultsOf({ keys })
    const at = (place: string) =>
      faults.filter((fault) => fault.includes(`(file keys.yaml:${place})`)).join('\n')
    assert.match(at('1:9'), /^keys\[0\]\.name .*got "team a"; allowed: a letter or a digit/)
    assert.match(
      at('2:10'),
      /^keys\[0\]\.hash .*got a value that is not shown; allowed: sha256: and 64 hex digits/,
    )
    assert.match(at('2:15'), /got a value that is not shown/)
    assert.match(
      at('3:3'),
      /^keys\[0\]\.wieght .*unknown field; allowed: name, hash, .* did you mean weight\?/,
    )
    assert.match(at('4:3'), /^keys\[0\]\.key .*never the key/)
    assert.match(at('5:13'), /got "hihg"; allowed: high, normal, low/)
    assert.match(at('6:11'), /got "-1"; allowed: a number from 0\.001/)
    assert.match(at('7:11'), /got an empty list/)
    for (const column of [21, 25, 36, 47])
      assert.match(at(`8:${column}`), /keys\[0\]\.routes .*allowed: paths/)
    assert.match(at('9:12'), /got "2026-02-30"; .*there is no such day/)
    assert.match(at('10:13'), /keys\[0\]\.limits\.requests-per-minut .*did you mean requests-per-minute\?/)
    assert.match(at('10:62'), /got "0"; allowed: a whole number from 1/)
    assert.match(
      at(`10:${keys.split('\n')[9]!.indexOf('requestsInFlight') + 1}`),
      /requests-in-flight .*given twice, in two spellings/,
    )
    assert.match(at('11:3'), /^keys\[1\] .*got a value that is not shown; allowed: a group of fields/)
    assert.match(at('12:11'), /^keys\[2\]\.models .*got a group of keys/)
    assert.match(at('12:3'), /^keys\[2\]\.name .*it is missing/)
    assert.match(at('13:9'), /^keys\[3\]\.name .*got a list/)
    assert.match(at('14:11'), /^keys\[3\]\.limits .*allowed: a group of fields: requests-per-minute/)
    assert.match(faults.find((fault) => fault.startsWith('keys[3].hash')) ?? '', /got nothing/)
    assert.equal(faults.length, 22)
    assert.doesNotMatch(faults.join(), /secret|abc/)
  })

  test('is said with the place in the configuration file or the program, too', async () => {
    const config = `port: 1\nkeys:\n  - name: a b\nworker-urls: nope`
    assert.deepEqual(
      (await faultsOf({ config })).map((fault) => fault.split(': got')[0]),
      ['keys[0].name (file router.yaml:3:11)', '--worker-urls (file router.yaml:4:14 (worker-urls))'],
    )
    const options = { keys: [{ name: 'a', limits: { requestsPerMinute: -1 } }] }
    assert.throws(
      () => resolveOptions(options),
      /keys\[0\]\.limits\.requests-per-minute +\(option keys\[0\]\.limits\.requestsPerMinute\): got -1/,
    )
  })

  test('is a file that is no list, no YAML, or not there', async () => {
    for (const keys of ['', 'keys', '{}', '# nothing yet'])
      assert.match(
        (await faultsOf({ keys })).join(),
        /keys \(file keys\.yaml:1:1\): got .*allowed: a list of entries/,
        keys,
      )
    assert.match((await faultsOf({ keys: 'keys: []' })).join(), /leave out the line keys:/)
    assert.match(
      (await faultsOf({ keys: '- name: [a\n- b' })).join(),
      /--keys-file \(file keys\.yaml:2:\d+\): not valid/,
    )
    const missing = await faultsOf({ argv: ['--keys-file', 'nowhere.yaml', '--port', 'x'] })
    assert.match(
      missing.join('\n'),
      /--keys-file \(flag --keys-file\): cannot read .*nowhere\.yaml: there is no such/,
    )
    assert.match(missing.join('\n'), /--port/)
    assert.match((await faultsOf({ argv: ['--keys-file', '.'] })).join(), /it is a directory/)
  })

  test('is a name or a key that stands for two', async () => {
    const faults = await faultsOf({
      keys: `- name: a\n  hash: ${hash('1')}\n- name: b\n  hash: [${hash('2')}, ${hash('1')}]`,
      config: `keys:\n  - name: a\n  - { name: c, hash: ${hash('2')} }`,
    })
    assert.deepEqual(faults, [
      'keys[0].name (file keys.yaml:1:9): the name is given twice, first in file router.yaml:2:11',
      'keys[1].hash (file keys.yaml:4:10): the hash is given twice, first in file router.yaml:3:22',
      'keys[1].hash (file keys.yaml:4:83): the hash is given twice, first in file keys.yaml:2:9',
    ])
  })

  test('is a name of a certificate that stands for two, or is none', async () => {
    const keys = [
      '- { name: a, certificate: [cn:Team A, dns:a.Example.com] }',
      '- { name: b, certificate: dns:A.example.com }',
      '- { name: c, certificate: ["team-c", "cn:", "dns:*.c", "uri:c", "file:/x.pem"] }',
    ].join('\n')
    const faults = await faultsOf({ keys, argv: askingFlags })
    assert.match(
      faults[0] ?? '',
      /keys\[2\]\.certificate .*got "team-c"; allowed: names such as cn:team-a.*in front/,
    )
    assert.match(faults[1] ?? '', /got "cn:".*common name/)
    assert.match(faults[2] ?? '', /got "dns:\*\.c".*whole names only/)
    assert.match(faults[3] ?? '', /got "uri:c".*behind uri:/)
    assert.match(faults[4] ?? '', /got "file:\/x\.pem"/)
    assert.match(
      faults[5] ?? '',
      /keys\[1\]\.certificate .*the name is given twice, first in file keys\.yaml:1:39/,
    )
    assert.equal(faults.length, 6)
  })

  test('is a certificate that no client is asked for', async () => {
    const keys = '- { name: team-a, certificate: [cn:Team A, URI:spiffe://x/y, DNS:A.b] }'
    assert.deepEqual(await faultsOf({ keys }), [
      '--tls-client-ca-file (flag --keys-file): it is missing, and the certificate of team-a in the list of keys needs it; else no client is asked for a certificate',
    ])
    const [entry] = await entriesOf({ keys, argv: askingFlags })
    assert.deepEqual(entry?.certificate, ['cn:Team A', 'uri:spiffe://x/y', 'dns:a.b'])
    const config = resolveOptions({ keys: [entry!], tlsCertFile: 'x', tlsKeyFile: 'x', tlsClientCaFile: 'x' })
    assert.equal(certificateFaults(config, true).length, 0)
    assert.match(certificateFaults(config, false)[0]?.problem ?? '', /^Bun does not tell/)
  })

  test('is a key that is the admin key, or one without a tenant', async () => {
    const keys = `- name: a\n  hash: [${hashOfKey('root-key')}, ${hashOfKey('plain-key')}]`
    const faults = await faultsOf({
      keys,
      argv: ['--admin-api-key', 'root-key', '--router-api-keys', 'plain-key'],
    })
    assert.match(faults[0] ?? '', /keys\[0\]\.hash .*the hash is that of --admin-api-key/)
    assert.match(faults[1] ?? '', /keys\[0\]\.hash .*the hash is that of one of --router-api-keys/)
    assert.equal(faults.length, 2)
  })

  test('is a program that names a file: it reads its keys itself', async () => {
    await assert.rejects(
      createGateway({ keysFile: 'keys.yaml' }),
      /keysFile.*a program gives its list as `keys`/,
    )
  })
})

describe('when a key ends', () => {
  const expiry = async (written: string) =>
    (await entriesOf({ keys: `- { name: a, expires: ${written} }` }))[0]?.expires

  test('is a date, to its end in UTC, or a time with its zone', async () => {
    assert.equal(await expiry('2030-12-31'), '2031-01-01T00:00:00.000Z')
    assert.equal(await expiry('2028-02-29'), '2028-03-01T00:00:00.000Z')
    assert.equal(await expiry('2030-12-31T18:00:00Z'), '2030-12-31T18:00:00.000Z')
    assert.equal(await expiry('2030-12-31t18:00z'), '2030-12-31T18:00:00.000Z')
    assert.equal(await expiry('"2030-12-31 18:00:00.5-05:30"'), '2030-12-31T23:30:00.500Z')
    const { keys } = resolveOptions({ keys: [{ name: 'a', expires: new Date(0) }] })
    assert.equal(keys?.[0]?.expires, '1970-01-01T00:00:00.000Z')
  })

  test('is nothing else', async () => {
    const wrong = [
      '2030-12-31T18:00:00',
      '2030-13-01',
      '2029-02-29',
      'tomorrow',
      '2030-12-31T25:00Z',
      '1893456000',
    ]
    for (const written of [...wrong, '2030-12-31T18:00+2', '2030-1-1', '31.12.2030'])
      assert.match(
        (await faultsOf({ keys: `- { name: a, expires: ${written} }` })).join(),
        /keys\[0\]\.expires .*allowed: a date/,
        written,
      )
    assert.match(
      (await faultsOf({ keys: '- { name: a, expires: 2030-12-31T18:00:00 }' })).join(),
      /the time zone is missing/,
    )
    assert.throws(() => resolveOptions({ keys: [{ name: 'a', expires: new Date(Number.NaN) }] }), /no time/)
  })
})

describe('tokens', () => {
  const jwt = ['--jwt-jwks-url', 'https://issuer.example/jwks']

  test('need an issuer, an audience, and somebody whom they may name', async () => {
    assert.deepEqual(
      (await faultsOf({ argv: jwt })).map((fault) => fault.split(': ')[0]),
      [
        '--jwt-issuer (flag --jwt-jwks-url)',
        '--jwt-audience (flag --jwt-jwks-url)',
        '--jwt-jwks-url (flag --jwt-jwks-url)',
      ],
    )
    const all = [...jwt, '--jwt-issuer', 'https://issuer.example/', '--jwt-audience', 'router', 'gateway']
    const loaded = await load({ argv: all, keys: '- name: a' })
    assert.deepEqual(loaded.ok && loaded.config.jwtAudience, ['router', 'gateway'])
    assert.equal(loaded.ok && loaded.config.jwtTenantClaim, 'sub')
  })

  test('are nothing without the keys of their issuer', async () => {
    const faults = await faultsOf({ argv: ['--jwt-issuer', 'x', '--jwt-audience', 'y'] })
    assert.deepEqual(faults.length, 2)
    assert.match(faults.join(), /--jwt-issuer .*it needs --jwt-jwks-url/)
  })

  test('have their keys behind http or https, without a password', async () => {
    for (const url of ['ftp://a', 'issuer.example', 'https://me:secret@issuer.example/'])
      assert.match(
        (await faultsOf({ argv: ['--jwt-jwks-url', url] })).join(),
        /allowed: none, or an http or https URL/,
      )
  })
})

describe('any list', () => {
  const word = fc.string({ unit: fc.constantFrom(...'abcXYZ019-_.'), minLength: 1, maxLength: 20 })
  const name = word.filter((text) => /^[a-z0-9]/i.test(text) && text !== 'other')
  const digits = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 64, maxLength: 64 })
  const limit = fc.option(fc.integer({ min: 1, max: 1e9 }), { nil: undefined })
  const entry = fc.record(
    {
      name,
      hash: fc.uniqueArray(
        digits.map((text) => `sha256:${text}`),
        { minLength: 1, maxLength: 3 },
      ),
      models: fc.uniqueArray(word, { minLength: 1, maxLength: 3 }),
      routes: fc.uniqueArray(
        word.map((text) => `/${text}`).filter((path) => !/\/\.\.?$/.test(path)),
        { minLength: 1, maxLength: 3 },
      ),
      priority: fc.constantFrom('high', 'normal', 'low'),
      weight: fc.integer({ min: 1, max: 1000 }),
      limits: fc
        .record({
          ...{ requestsPerMinute: limit, promptTokensPerMinute: limit },
          ...{ completionTokensPerMinute: limit, requestsInFlight: limit },
        })
        .map((limits) =>
          Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)),
        ),
      expires: fc
        .date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true })
        .map((date) => date.toISOString()),
    },
    { requiredKeys: ['name'] },
  )
  const list = fc.uniqueArray(entry, { maxLength: 5, selector: ({ name: own }) => own })
  const kebab = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(kebab)
      : typeof value === 'object' && value !== null
        ? Object.fromEntries(Object.entries(value).map(([key, each]) => [kebabCase(key), kebab(each)]))
        : value

  test('that is right comes out as it was written, and is right for editors', async () => {
    const validate = new Ajv({ strict: true, strictTypes: false }).compile(configJsonSchema())
    await fc.assert(
      fc.asyncProperty(list, async (entries) => {
        const hashes = entries.flatMap((one) => one.hash ?? [])
        fc.pre(new Set(hashes).size === hashes.length)
        const found = await entriesOf({ keys: stringify(kebab(entries)) })
        const complete = entries.map((one) => ({ priority: 'normal', weight: 1, limits: {}, ...one }))
        assert.deepEqual(found, complete)
        assert.ok(validate(kebab({ keys: entries })), JSON.stringify(validate.errors))
      }),
      { numRuns: 40 },
    )
  })

  test('in which something is broken is refused, and no hash is in the faults', async () => {
    const breaks: readonly ((one: Record<string, unknown>) => void)[] = [
      (one) => Object.assign(one, { hash: `${[one.hash ?? hash('a')].flat()[0]}f` }),
      (one) => Object.assign(one, { hash: 'sk-secret' }),
      (one) => Object.assign(one, { name: '' }),
      (one) => Object.assign(one, { priority: 1 }),
      (one) => Object.assign(one, { weight: 'much' }),
      (one) => Object.assign(one, { limits: { requestsPerMinute: 1.5 } }),
      (one) => Object.assign(one, { models: [''] }),
      (one) => Object.assign(one, { routes: [1] }),
      (one) => Object.assign(one, { expires: 'soon' }),
      (one) => Object.assign(one, { secret: 1 }),
      (one) => delete one.name,
    ]
    const broken = fc.tuple(entry, fc.constantFrom(...breaks))
    await fc.assert(
      fc.asyncProperty(broken, async ([one, breakIt]) => {
        const changed: Record<string, unknown> = { ...one }
        breakIt(changed)
        const faults = await faultsOf({ keys: stringify(kebab([changed])) })
        assert.ok(faults.length > 0, JSON.stringify(changed))
        for (const each of [changed.hash ?? []].flat())
          assert.ok(!faults.join().includes(String(each).slice(7, 30)), faults.join())
        assert.doesNotMatch(faults.join(), /sk-secret/)
        for (const fault of faults) assert.match(fault, /^keys\[0\].* \(file keys\.yaml:\d+:\d+\): /)
      }),
      { numRuns: 40 },
    )
  })
})
