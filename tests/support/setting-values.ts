import fc from 'fast-check'
import { type NamedSetting, type SettingKey, settings } from '../../app/config/settings.ts'
import { selectionPolicies } from '../../policies/selection/index.ts'

const host = fc.constantFrom('127.0.0.1', '0.0.0.0', '::1', 'router.internal', 'localhost')
const key = fc
  .string({ unit: fc.constantFrom(...'abcXYZ0189-_.~+/='), minLength: 3, maxLength: 30 })
  .map((text) => `k${text}`)
const word = fc.constantFrom('alpha', 'beta-1', 'gamma', 'delta')
const several = (item: fc.Arbitrary<string>) =>
  fc.uniqueArray(item, { minLength: 1, maxLength: 4 }).map((items) => items.join(','))

/** Of settings that only stand together with others: tests/app/gateway/certificates.test.ts. */
const none = fc.constant('none')

/** Valid text for each setting whose kind does not already say what is valid. */
const texts: Partial<Record<SettingKey, fc.Arbitrary<string>>> = {
  host,
  prometheusHost: host,
  port: fc.integer({ min: 0, max: 28_999 }).map(String),
  prometheusPort: fc.integer({ min: 29_001, max: 65_535 }).map(String),
  maxPayloadSize: fc.constantFrom('1', '65536', '64MiB', '10MB', '1.5KiB', '2Gi', '3 KB'),
  maxEventBytes: fc.constantFrom('1024', '2MiB', '10MB'),
  maxHoldBytes: fc.constantFrom('1024', '2MiB', '10MB'),
  requestIdHeaders: several(word.map((name) => `x-${name}`)),
  corsAllowedOrigins: several(word.map((name) => `https://${name}.example.com`)),
  shutdownSettleSecs: fc.integer({ min: 0, max: 180 }).map(String),
  shutdownGraceSecs: fc.integer({ min: 5, max: 1000 }).map(String),
  workerUrls: several(
    fc.tuple(word, fc.integer({ min: 1, max: 65_535 })).map(([h, p]) => `http://${h}:${p}`),
  ),
  demo: fc.oneof(fc.constantFrom('true', 'off'), fc.integer({ min: 1, max: 100 }).map(String)),
  workerUrlAllow: several(fc.constantFrom('gpu1', 'gpu2:8000', '*.gpu.internal', '10.0.0.0/8')),
  healthCheckEndpoint: fc.constantFrom('/health', '/ping', '/v1/models?x=1'),
  balanceAbsThreshold: fc.integer({ min: 0, max: 1000 }).map(String),
  maxTreeSize: fc.integer({ min: 1, max: 2 ** 40 }).map(String),
  policy: fc.constantFrom(...Object.keys(selectionPolicies)),
  // Only together with a cap: tests/app/config/rules.test.ts.
  slotsForHighPriority: fc.constant('0'),
  usageDir: fc.constantFrom('usage', '/var/lib/vllm-router', 'none'),
  modelPolicy: several(fc.constantFrom('llama=cache_aware', 'org/m:7b=random')),
  modelAlias: several(fc.constantFrom('gpt=llama', 'gpt=org/m:7b@9.5', 'chat=llama@1')),
  modelFallback: several(fc.constantFrom('llama=qwen', 'gpt=org/m:7b')),
  retryInitialBackoffMs: fc.integer({ min: 0, max: 2000 }).map(String),
  retryMaxBackoffMs: fc.integer({ min: 50, max: 100_000 }).map(String),
  apiKey: key,
  adminApiKey: key,
  adminHosts: several(fc.constantFrom('router.example.com', 'vllm-router', 'a_b.svc')),
  routerApiKeys: several(key),
  // Tried by themselves, with a file: tests/app/config/keys.test.ts.
  keysFile: fc.constant('none'),
  // Only together: tests/app/config/keys.test.ts.
  jwtJwksUrl: fc.constant('none'),
  jwtIssuer: fc.constant('none'),
  jwtAudience: fc.constant('none'),
  jwtTenantClaim: word,
  workerUrlsFile: fc.constantFrom('workers.yaml', '/etc/vllm-router/workers.json', 'none'),
  maxBufferedBytes: fc.constantFrom('auto', '1', '512MiB', '2Gi'),
  limitsStore: fc.constantFrom('none', 'redis://localhost', 'rediss://user:word@[::1]:6380/3'),
  workerCaFile: fc.constantFrom('ca.pem', '/etc/ssl/own.pem', 'none'),
  ...{ tlsCertFile: none, tlsKeyFile: none, tlsClientCaFile: none },
  ...{ prometheusTlsCertFile: none, prometheusTlsKeyFile: none, prometheusTlsClientCaFile: none },
  workerServerName: fc.constantFrom('vllm.ml.svc', 'none'),
  trustedProxies: several(fc.constantFrom('10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::1')),
  // Only together: tests/app/upstream/worker-tls.test.ts.
  workerClientCert: fc.constant('none'),
  workerClientKey: fc.constant('none'),
  enableTrace: fc.constantFrom('auto', 'true', 'false'),
  otlpTracesEndpoint: fc.constantFrom(
    'none',
    'http://collector:4318/v1/traces',
    'https://traces.example.com/otlp',
  ),
  otelSamplingRatio: fc.constantFrom('0', '0.01', '0.5', '1'),
  workerDns: several(fc.constantFrom('dns://vllm:8000', 'vllm.ml.svc:80', 'dns+srv://_http._tcp.vllm.ml')),
  // Only together with a selector: tests/app/workers/discovery/settings.test.ts.
  serviceDiscovery: fc.constantFrom('false', 'off'),
  selector: several(fc.constantFrom('app=vllm', 'example.com/role=decode', 'tier=')),
  serviceDiscoveryService: several(word),
  serviceDiscoveryPort: fc.oneof(fc.integer({ min: 1, max: 65_535 }).map(String), fc.constant('http')),
  serviceDiscoveryNamespace: fc.constantFrom('ml', 'team-7', 'none'),
  serviceDiscoveryApiServer: fc.constantFrom('https://10.0.0.1:6443', 'http://127.0.0.1:8001', 'none'),
  serviceDiscoveryCredentials: fc.constantFrom('/var/run/secrets/account', './account'),
}

/** Settings that can be set in this version, each to be tried with `textsOf`. A file cannot name a file. */
export const settable = settings.filter(({ key }) => key !== 'config')

/** Valid texts for a setting, as a person would write them. A new setting of a usual kind needs no line above. */
export function textsOf(entry: NamedSetting): fc.Arbitrary<string> {
  const known = texts[entry.key]
  if (known !== undefined) return known
  const { allowed, values, takes } = entry.kind
  if (values !== undefined) return fc.constantFrom(...values)
  if (takes === 'nothing') return fc.constantFrom('true', 'false')
  const range = /from ([\d.]+) to ([\d.]+)/.exec(allowed)
  if (range === null) throw new Error(`tests/support/setting-values.ts needs a line for ${entry.key}`)
  const [min, max] = [Number(range[1]), Number(range[2])]
  const numbers = fc.integer({ min: Math.ceil(min), max: Math.floor(max) }).map(String)
  const word = /^(auto|unlimited|off|none), or /.exec(allowed)?.[1]
  return word === undefined ? numbers : fc.oneof({ weight: 4, arbitrary: numbers }, fc.constant(word))
}
