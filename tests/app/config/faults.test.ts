import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { loadConfig } from '../../../app/config/load-config.ts'
import { notSupportedNames } from '../../../app/config/not-supported.ts'
import { ConfigError, type ConfigProblem, formatProblems } from '../../../app/config/problem.ts'
import { resolveOptions } from '../../../app/config/resolve-options.ts'
import { type ConfigInput, settingOf, settings } from '../../../app/config/settings.ts'
import { selectionPolicies } from '../../../policies/selection/index.ts'
import { settable } from '../../support/setting-values.ts'

interface Given {
  readonly flags?: readonly string[] | string
  readonly env?: Readonly<Record<string, string>>
  readonly file?: string
}

async function faultsOf({ flags = [], env = {}, file }: Given): Promise<readonly ConfigProblem[]> {
  const words = typeof flags === 'string' ? flags.split(' ') : flags
  const argv = file === undefined ? words : [...words, '--config', 'router.yaml']
  const result = await loadConfig({ argv, env, readFile: async () => file ?? '' })
  return result.ok ? [] : result.faults
}

async function onlyFault(given: Given): Promise<ConfigProblem> {
  const faults = await faultsOf(given)
  assert.equal(faults.length, 1, formatProblems(faults))
  return faults[0] as ConfigProblem
}

describe('faults of the configuration', () => {
  test('all of them are listed at once, each with origin, value and what is allowed', async () => {
    const file = '# a router\nport: 80a\nworker-urls:\n  - http://a:1\n  - ftp://b\nprot: 1\n'
    const env = { VLLM_ROUTER_PORT: '80a', VLLM_ROUTER_LOG_LEVEL: 'loud' }
    const faults = await faultsOf({ flags: '--port 70000 --queue-size -15 --wroker-urls x', env, file })
    assert.deepEqual(
      faults.map(({ name, origin, problem }) => [name, origin, problem]),
      [
        ['--wroker-urls', 'flag --wroker-urls', 'unknown flag'],
        ['prot', 'file router.yaml:6:7 (prot)', 'unknown key'],
        ['--port', 'flag --port', 'got "70000"'],
        ['--queue-size', 'flag --queue-size', 'got "-15"'],
        ['--port', 'environment VLLM_ROUTER_PORT', 'got "80a"'],
        ['--log-level', 'environment VLLM_ROUTER_LOG_LEVEL', 'got "loud"'],
        ['--port', 'file router.yaml:2:7 (port)', 'got "80a"'],
        ['--worker-urls', 'file router.yaml:5:5 (worker-urls)', 'got "ftp://b"'],
      ],
    )
    for (const { problem, allowed, hint } of faults) {
      if (problem.startsWith('got')) assert.ok(allowed, problem)
      else assert.match(String(hint), /^did you mean/)
    }
  })

  test('the text for a terminal has one aligned line for each', async () => {
    const one = await faultsOf({ env: { VLLM_ROUTER_PORT: '80a' } })
    assert.equal(
      formatProblems(one),
      'vllm-router: 1 fault in the configuration\n' +
        '  --port (environment VLLM_ROUTER_PORT): got "80a"; allowed: a whole number from 0 to 65535',
    )
    const two = formatProblems(await faultsOf({ flags: '--port x --log-format xml' })).split('\n')
    assert.equal(two[0], 'vllm-router: 2 faults in the configuration')
    assert.equal(two[1]?.indexOf('('), two[2]?.indexOf('('))
  })

  test('no text of the schema library reaches a person, whatever is given', async () => {
    const anything = fc.oneof(fc.string(), fc.jsonValue(), fc.double().map(String), fc.constant(undefined))
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...settings.map(({ key }) => key)), anything, async (key, value) => {
        const { flag, env } = settingOf(key)
        const file = value === undefined ? '' : `${flag}: ${JSON.stringify(value)}`
        const text = typeof value === 'string' ? value : JSON.stringify(value)
        const variables = value === undefined ? {} : { [env]: text }
        const texts = [
          formatProblems(await faultsOf({ file })),
          formatProblems(await faultsOf({ env: variables })),
        ]
        try {
          resolveOptions({ [key]: value } as ConfigInput)
        } catch (error) {
          assert.ok(error instanceof ConfigError, String(error))
          texts.push(error.message)
        }
        for (const text of texts)
          assert.doesNotMatch(text, /Invalid|Expected .* but received|undefined|\[object/)
      }),
      { numRuns: 500 },
    )
  })

  test('a wrong value is a fault on every way in, also where another source overrides it', async () => {
    for (const { flag, env, key, kind } of settable.filter(({ kind }) =>
      /number|true or false/.test(kind.allowed),
    )) {
      const wrong = 'not-this'
      assert.equal((await onlyFault({ flags: [`--${flag}=${wrong}`] })).allowed, kind.allowed, flag)
      assert.equal((await onlyFault({ env: { [env]: wrong } })).origin, `environment ${env}`)
      const place = `file router.yaml:1:${flag.length + 3} (${flag})`
      assert.equal((await onlyFault({ file: `${flag}: ${wrong}` })).origin, place)
      assert.throws(() => resolveOptions({ [key]: wrong } as ConfigInput), ConfigError)
    }
    const shadowed = await faultsOf({ flags: '--port 1', env: { VLLM_ROUTER_PORT: 'x' } })
    assert.deepEqual(
      shadowed.map(({ origin }) => origin),
      ['environment VLLM_ROUTER_PORT'],
    )
  })

  test('an empty value is a fault for every setting, because it would empty a list of keys', async () => {
    for (const { flag, env } of settings) {
      assert.equal((await onlyFault({ flags: [`--${flag}=`] })).problem, 'got ""', flag)
      assert.equal((await onlyFault({ env: { [env]: '' } })).problem, 'got ""', flag)
      assert.equal((await onlyFault({ flags: [`--${flag}`, ''] })).problem, 'got ""', flag)
    }
  })

  test('a flag without the value it needs is a fault, and does not swallow the next flag', async () => {
    const faults = await faultsOf({ flags: '--port --host --worker-urls --log-level debug' })
    assert.deepEqual(
      faults.map(({ name, problem }) => [name, problem]),
      [
        ['--port', 'got nothing'],
        ['--host', 'got nothing'],
        ['--worker-urls', 'got nothing'],
      ],
    )
  })

  test('words that belong to no flag are named', async () => {
    for (const flags of [
      'stray --port 1',
      '--port 1 stray',
      '--demo 2 stray',
      '--disable-retries stray',
      '-- stray',
    ])
      assert.match((await onlyFault({ flags })).problem, /^got "stray"/, flags)
    assert.match((await onlyFault({ flags: '-p 80' })).problem, /unknown flag/)
  })

  test('a flag said twice must say the same', async () => {
    assert.deepEqual(await faultsOf({ flags: '--port 80 --port=80' }), [])
    assert.match((await onlyFault({ flags: '--port 80 --port 81' })).problem, /twice/)
    assert.match((await onlyFault({ flags: '--disable-retries --no-disable-retries' })).problem, /twice/)
    assert.match(
      (await onlyFault({ file: 'worker-urls: http://a:1\nworkerUrls: http://b:1' })).problem,
      /twice/,
    )
    const twins = { VLLM_ROUTER_SHUTDOWN_GRACE_SECS: '60', VLLM_ROUTER_SHUTDOWN_GRACE_PERIOD_SECS: '70' }
    assert.match(String((await onlyFault({ env: twins })).hint), /says something else/)
  })

  test('the nearest known name is suggested, in the spelling of the source', async () => {
    assert.match(String((await onlyFault({ flags: '--worker-url http://a' })).hint), /--worker-urls\?/)
    assert.match(String((await onlyFault({ flags: '--workerUrls http://a' })).hint), /--worker-urls\?/)
    assert.match(String((await onlyFault({ flags: '--router-policy random' })).hint), /--policy\?/)
    assert.match(String((await onlyFault({ flags: '--no-demoo' })).hint), /--no-demo\?/)
    assert.match(
      String((await onlyFault({ env: { VLLM_ROUTER_WORKER_URL: 'x' } })).hint),
      /VLLM_ROUTER_WORKER_URLS\?/,
    )
    assert.match(String((await onlyFault({ file: 'worker_url: x' })).hint), /mean worker-urls\?/)
    assert.match(String((await onlyFault({ env: { VLLM_ROUTER_LOG_LEVEL: 'inf' } })).hint), /"info"/)
    assert.match(String((await onlyFault({ flags: '--policy round-robbin' })).hint), /"round_robin"/)
    assert.throws(
      () => resolveOptions({ workerUrl: [] } as ConfigInput),
      /unknown key; did you mean workerUrls\?/,
    )
  })

  test('only a switch has an opposite', async () => {
    assert.match((await onlyFault({ flags: '--no-port' })).problem, /--port has no opposite/)
  })
})

describe('keys', () => {
  const secret = 'sk-very-secret'

  test('are never printed in a fault', async () => {
    const attempts: Given[] = [
      { flags: ['--api-key', `${secret} with a space`] },
      { flags: ['--api-key', secret, `${secret}-2`] },
      { flags: ['--api-key', `-${secret}`] },
      { flags: ['--api-key', secret, '--api-key', `${secret}-2`] },
      { flags: ['--admin-api-key', secret, '--router-api-keys', secret] },
      { flags: ['--router-api-keys', `${secret}\u0007`] },
      { env: { VLLM_ROUTER_API_KEY: `${secret} ${secret}` } },
      { env: { VLLM_ROUTER_API_KEYS: secret } },
      { file: `router-api-keys: ["${secret} x"]` },
      { file: `api-key: {${secret}: 1}` },
    ]
    for (const attempt of attempts) {
      const faults = await faultsOf(attempt)
      assert.ok(faults.length > 0, JSON.stringify(attempt))
      assert.ok(!formatProblems(faults).includes('secret'), formatProblems(faults))
    }
  })

  test('in the address of a worker are refused, and not printed either', async () => {
    for (const url of [
      'http://me:sk-secret@gpu1:8000',
      'htp://me:sk-secret@gpu1',
      'me:sk-secret@gpu1:8000',
    ]) {
      const fault = await onlyFault({ flags: ['--worker-urls', url] })
      if (url.startsWith('http:')) assert.match(String(fault.hint), /--api-key/)
      assert.ok(!formatProblems([fault]).includes('sk-secret'), formatProblems([fault]))
    }
  })
})

describe('what is not supported yet', () => {
  test('every flag of the other routers that is missing here is refused by name on every way in', async () => {
    for (const name of notSupportedNames.map((each) => each.replace('*', 'x'))) {
      const variable = `VLLM_ROUTER_${name.toUpperCase().replaceAll('-', '_')}`
      const ways = [
        { flags: [`--${name}`, 'http://a', '80'] },
        { env: { [variable]: '1' } },
        { file: `${name}: 1` },
      ]
      for (const way of ways) assert.match((await onlyFault(way)).problem, /^not supported yet/, name)
    }
    assert.match((await onlyFault({ env: { API_KEY_VALIDATION_URLS: 'x' } })).problem, /^not supported yet/)
  })

  test('none of those names is a setting', () => {
    const names = settings.flatMap(({ flag, aliases = [] }) => [flag, ...aliases])
    for (const refused of notSupportedNames) {
      const family = refused.endsWith('*') ? refused.slice(0, -1) : undefined
      for (const name of names) assert.ok(family ? !name.startsWith(family) : name !== refused, name)
    }
  })

  test('a policy that does not exist is refused with the names of those that do', async () => {
    const fault = await onlyFault({ flags: '--policy fastest' })
    assert.equal(fault.problem, 'got "fastest"')
    assert.equal(fault.allowed, Object.keys(selectionPolicies).join(', '))
    assert.match((await onlyFault({ flags: '--model-policy m=fastest' })).problem, /no policy is called so/)
  })

  test('names of models are told where they make no sense', async () => {
    assert.match((await onlyFault({ flags: '--model-alias a=b b=c' })).problem, /an alias of an alias/)
    assert.match((await onlyFault({ flags: '--model-alias a=b@0' })).hint ?? '', /a number above 0/)
    assert.match((await onlyFault({ flags: '--model-fallback a=a' })).problem, /no fallback of its own/)
    assert.deepEqual(
      await faultsOf({ flags: '--model-alias gpt=org/a:7b@9 gpt=b@1 --model-fallback gpt=b' }),
      [],
    )
  })
})

describe('the environment', () => {
  test('variables that Kubernetes makes for a Service of this name are left alone', async () => {
    const env = {
      VLLM_ROUTER_SERVICE_HOST: '10.0.0.1',
      VLLM_ROUTER_SERVICE_PORT: '8080',
      VLLM_ROUTER_SERVICE_PORT_HTTP: '8080',
      VLLM_ROUTER_PORT: 'tcp://10.0.0.1:8080',
      VLLM_ROUTER_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
      VLLM_ROUTER_PORT_8080_TCP_PROTO: 'tcp',
      VLLM_ROUTER_PORT_8080_TCP_PORT: '8080',
      VLLM_ROUTER_PORT_8080_TCP_ADDR: '10.0.0.1',
      VLLM_ROUTER_PROMETHEUS_SERVICE_HOST: '10.0.0.2',
      VLLM_ROUTER_PROMETHEUS_PORT: 'tcp://10.0.0.2:29000',
    }
    assert.deepEqual(await faultsOf({ env }), [])
    const result = await loadConfig({ argv: [], env })
    assert.equal(result.ok && result.config.port, 8080)
  })

  test('no setting has a name that would be left alone', async () => {
    for (const { env } of settings) {
      assert.equal((await onlyFault({ env: { [env]: '' } })).origin, `environment ${env}`)
    }
  })

  test('variables of other programs do not matter', async () => {
    assert.deepEqual(
      await faultsOf({ env: { PORT: 'x', VLLM_PORT: 'y', ROUTER_PORT: 'z', VLLM_ROUTERX: '' } }),
      [],
    )
  })
})
