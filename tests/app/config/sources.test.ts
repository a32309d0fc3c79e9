import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type LoadResult, loadConfig } from '../../../app/config/load-config.ts'
import { formatProblems } from '../../../app/config/problem.ts'
import { resolveOptions } from '../../../app/config/resolve-options.ts'
import {
  type Config,
  type ConfigInput,
  type SettingKey,
  settingOf,
  settings,
} from '../../../app/config/settings.ts'
import { settable, textsOf } from '../../support/setting-values.ts'

interface Given {
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Text of router.yaml. */
  readonly file?: string
}

async function load({ flags = [], env = {}, file }: Given): Promise<LoadResult> {
  const argv = file === undefined ? flags : [...flags, '--config', 'router.yaml']
  return loadConfig({ argv, env, readFile: async () => file ?? '' })
}

async function loaded(given: Given): Promise<Extract<LoadResult, { ok: true }>> {
  const result = await load(given)
  if (!result.ok) assert.fail(formatProblems(result.faults))
  return result
}

/** The key of one setting with several valid texts for it. */
const settingWithTexts = (count: number): fc.Arbitrary<[SettingKey, string[]]> =>
  fc
    .constantFrom(...settable.map(({ key }) => key))
    .chain((key) =>
      fc.tuple(fc.constant(key), fc.array(textsOf(settingOf(key)), { minLength: count, maxLength: count })),
    )

const without = (config: Config) => ({ ...config, config: undefined })

describe('the sources of the configuration', () => {
  test('nothing given is the defaults of the list, complete and frozen', async () => {
    const { config, origins } = await loaded({})
    for (const { key, default: usual } of settings) {
      assert.ok(key in config, key)
      assert.deepEqual(config[key], usual, key)
      assert.equal(origins[key].text, 'default')
    }
    assert.ok(Object.isFrozen(config))
    assert.ok(Object.isFrozen(config.workerUrls))
    assert.deepEqual(config, resolveOptions({}))
  })

  test('the defaults are the promised ones', () => {
    const config = resolveOptions()
    assert.equal(`${config.host}:${config.port}`, '127.0.0.1:8080')
    assert.equal(`${config.prometheusHost}:${config.prometheusPort}`, '127.0.0.1:29000')
    assert.equal(config.policy, 'round_robin')
    assert.equal(config.maxPayloadSize, 64 * 1024 * 1024)
    assert.equal(config.maxConcurrentRequests, undefined)
    assert.deepEqual([config.queueSize, config.queueTimeoutSecs], [100, 60])
    assert.deepEqual(
      [config.retryMaxRetries, config.retryInitialBackoffMs, config.retryMaxBackoffMs],
      [3, 50, 2000],
    )
    assert.deepEqual([config.cbFailureThreshold, config.cbSuccessThreshold], [5, 2])
    assert.deepEqual([config.cbTimeoutDurationSecs, config.cbWindowDurationSecs], [5, 30])
    assert.deepEqual([config.healthCheckIntervalSecs, config.healthCheckTimeoutSecs], [2, 5])
    assert.deepEqual([config.connectTimeoutMs, config.firstTokenTimeoutSecs], [2000, 300])
    assert.deepEqual([config.streamIdleTimeoutSecs, config.requestTimeoutSecs], [120, undefined])
    assert.deepEqual([config.shutdownSettleSecs, config.shutdownGraceSecs, config.demo], [5, 180, 0])
    assert.deepEqual([config.maxEventBytes, config.maxHoldBytes], [2 ** 20, 2 ** 20])
  })

  test('flag, variable, YAML, JSON and option give every setting the same value', {
    timeout: 60_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(settingWithTexts(1), async ([key, [text = '']]) => {
        const { flag, env } = settingOf(key)
        const configs = await Promise.all([
          loaded({ flags: [`--${flag}=${text}`] }),
          loaded({ flags: [`--${flag}`, text] }),
          loaded({ env: { [env]: text } }),
          loaded({ file: `${flag}: ${JSON.stringify(text)}\n` }),
          loaded({ file: JSON.stringify({ [key]: text }, null, '\t') }),
          loaded({ file: `${flag.replaceAll('-', '_')}: ${JSON.stringify(text)}` }),
        ])
        const option = resolveOptions({ [key]: text } as ConfigInput)
        for (const { config } of configs) assert.deepEqual(without(config), option)
        assert.deepEqual(
          configs.map(({ origins }) => origins[key].source),
          ['flag', 'flag', 'environment', 'file', 'file', 'file'],
        )
      }),
      { numRuns: 400 },
    )
  })

  test('flag beats environment beats file beats default, for every setting', {
    timeout: 60_000,
  }, async () => {
    const present = fc.tuple(fc.boolean(), fc.boolean(), fc.boolean())
    await fc.assert(
      fc.asyncProperty(settingWithTexts(3), present, async ([key, texts], [byFlag, byEnv, byFile]) => {
        const entry = settingOf(key)
        const [flagText = '', envText = '', fileText = ''] = texts
        const { config, origins } = await loaded({
          flags: byFlag ? [`--${entry.flag}=${flagText}`] : [],
          env: byEnv ? { [entry.env]: envText } : {},
          ...(byFile ? { file: `${entry.flag}: ${JSON.stringify(fileText)}` } : {}),
        })
        const winner = byFlag ? flagText : byEnv ? envText : byFile ? fileText : undefined
        const expected =
          winner === undefined ? resolveOptions() : resolveOptions({ [entry.key]: winner } as ConfigInput)
        assert.deepEqual(without(config), expected)
        const source = byFlag ? 'flag' : byEnv ? 'environment' : byFile ? 'file' : 'default'
        assert.equal(origins[entry.key].source, source)
      }),
      { numRuns: 400 },
    )
  })

  test('a finished configuration is valid input and comes out equal', () => {
    fc.assert(
      fc.property(settingWithTexts(1), ([key, [text = '']]) => {
        const entry = settingOf(key)
        const config = resolveOptions({ [entry.key]: text } as ConfigInput)
        assert.deepEqual(resolveOptions(config), config)
        const shown = entry.kind.show(config[entry.key])
        assert.deepEqual(resolveOptions({ [entry.key]: shown } as ConfigInput), config, shown)
      }),
    )
  })

  test('aliases set the same setting on every way in', async () => {
    for (const entry of settable.filter(({ aliases }) => aliases !== undefined)) {
      for (const alias of entry.aliases ?? []) {
        const env = `VLLM_ROUTER_${alias.toUpperCase().replaceAll('-', '_')}`
        const ways = [{ flags: [`--${alias}`, '77'] }, { env: { [env]: '77' } }, { file: `${alias}: 77` }]
        for (const way of ways) assert.equal((await loaded(way)).config[entry.key], 77, alias)
      }
    }
  })

  test('a flag can undo what the file sets', async () => {
    const file =
      'request-timeout-secs: 10\nmax-concurrent-requests: 5\nworker-urls: [http://a:1]\ndisable-retries: true'
    const flags = '--request-timeout-secs off --max-concurrent-requests unlimited --worker-urls none'.split(
      ' ',
    )
    const { config } = await loaded({ file, flags: [...flags, '--no-disable-retries'] })
    assert.equal(config.requestTimeoutSecs, undefined)
    assert.equal(config.maxConcurrentRequests, undefined)
    assert.deepEqual(config.workerUrls, [])
    assert.equal(config.disableRetries, false)
    assert.equal(config.retryMaxRetries, 3)
  })

  test('an empty YAML value means unset where a setting can be unset', async () => {
    const { config } = await loaded({ file: 'request-timeout-secs:\nmax-concurrent-requests: null\n' })
    assert.equal(config.requestTimeoutSecs, undefined)
    assert.equal(config.maxConcurrentRequests, undefined)
  })

  test('disabled retries are one attempt, and the origin says why', async () => {
    const { config, origins } = await loaded({ flags: ['--disable-retries', '--retry-max-retries', '5'] })
    assert.equal(config.retryMaxRetries, 1)
    assert.equal(origins.retryMaxRetries.text, 'flag --disable-retries')
  })
})

describe('how values are written', () => {
  const urls = ['http://a:1', 'http://b:2', 'https://c']

  test('a list is a b c, a repeated flag, a,b,c or a YAML list', async () => {
    const ways: Given[] = [
      { flags: ['--worker-urls', ...urls] },
      { flags: urls.flatMap((url) => ['--worker-urls', url]) },
      { flags: ['--worker-urls', urls.join(',')] },
      { flags: [`--worker-urls=${urls.join(', ')}`] },
      { flags: ['--worker-urls', 'http://a:1,http://b:2', '--worker-urls=https://c'] },
      { flags: ['--worker_urls', ...urls] },
      { env: { VLLM_ROUTER_WORKER_URLS: urls.join(',') } },
      { env: { VLLM_ROUTER_WORKER_URLS: `${urls.join('\n  ')}\n` } },
      { file: `worker-urls:\n${urls.map((url) => `  - ${url}\n`).join('')}` },
      { file: `worker_urls: ${urls.join(',')}` },
      { file: `workerUrls: [${urls.join(', ')}]` },
      { file: `base: &all [${urls.join(', ')}]`.replace('base: &all', 'worker-urls: &all') },
    ]
    for (const way of ways) assert.deepEqual((await loaded(way)).config.workerUrls, urls, JSON.stringify(way))
    assert.deepEqual(resolveOptions({ workerUrls: urls }).workerUrls, urls)
  })

  test('--demo is off, 7, or a number', async () => {
    const cases: [string[], number][] = [
      [[], 0],
      [['--demo'], 7],
      [['--demo', '--port', '0'], 7],
      [['--demo', '3'], 3],
      [['--demo=3'], 3],
      [['--demo=true'], 7],
      [['--demo=false'], 0],
      [['--demo', 'off'], 0],
      [['--no-demo'], 0],
      [['--demo', '1'], 1],
    ]
    for (const [flags, workers] of cases)
      assert.equal((await loaded({ flags })).config.demo, workers, flags.join(' '))
    assert.equal((await loaded({ file: 'demo: true' })).config.demo, 7)
    assert.equal(resolveOptions({ demo: true }).demo, 7)
  })

  test('switches take a word or none', async () => {
    for (const flags of [['--disable-retries'], ['--disable-retries', 'on'], ['--disable-retries=1']])
      assert.equal((await loaded({ flags })).config.disableRetries, true)
    for (const flags of [['--no-disable-retries'], ['--disable-retries=false'], ['--disable-retries', 'NO']])
      assert.equal((await loaded({ flags })).config.disableRetries, false)
  })

  test('sizes are bytes or have a unit', () => {
    const sizes: [string | number, number][] = [
      ['64MiB', 67_108_864],
      ['10MB', 10_000_000],
      ['64Mi', 67_108_864],
      ['1.5 KiB', 1536],
      ['2gb', 2_000_000_000],
      ['512', 512],
      ['7B', 7],
      [4096, 4096],
    ]
    for (const [text, bytes] of sizes)
      assert.equal(resolveOptions({ maxPayloadSize: text }).maxPayloadSize, bytes)
  })

  test('a YAML value is the text that stands there, so that a key keeps its zeros', async () => {
    const file = 'api-key: 007\nrouter-api-keys: [0x10, 1e3, true]\n'
    const { config } = await loaded({ file })
    assert.equal(config.apiKey, '007')
    assert.deepEqual(config.routerApiKeys, ['0x10', '1e3', 'true'])
  })

  test('Python names of log levels are understood', () => {
    assert.equal(resolveOptions({ logLevel: 'WARNING' }).logLevel, 'warn')
    assert.equal(resolveOptions({ logLevel: 'critical' }).logLevel, 'fatal')
  })

  test('addresses are brought into one form', () => {
    const config = resolveOptions({
      host: '[::1]',
      workerUrls: ['HTTP://GPU1:8000/', 'http://gpu2:80/', 'https://gpu3/prefix//', 'http://[::1]:9000'],
      requestIdHeaders: ['X-Request-Id'],
      corsAllowedOrigins: ['https://Chat.example.com/', '*'],
    })
    assert.equal(config.host, '::1')
    assert.deepEqual(config.workerUrls, [
      'http://gpu1:8000',
      'http://gpu2:80',
      'https://gpu3/prefix',
      'http://[::1]:9000',
    ])
    assert.deepEqual(config.requestIdHeaders, ['x-request-id'])
    assert.deepEqual(config.corsAllowedOrigins, ['https://chat.example.com', '*'])
  })
})
