/** The variables of OpenTelemetry: what they say goes behind whatever is said to this program. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { loadConfig } from '../../../app/config/load-config.ts'
import { formatProblems } from '../../../app/config/problem.ts'
import { tracesEndpoint } from '../../../app/telemetry/create-tracer.ts'

interface Given {
  readonly env?: Readonly<Record<string, string>>
  readonly flags?: readonly string[]
  /** Text of router.yaml. */
  readonly file?: string
}

async function load({ env = {}, flags = [], file }: Given) {
  const argv = file === undefined ? flags : [...flags, '--config', 'router.yaml']
  return loadConfig({ argv, env, readFile: async () => file ?? '' })
}

async function loaded(given: Given) {
  const result = await load(given)
  if (!result.ok) assert.fail(formatProblems(result.faults))
  const { config, origins } = result
  return {
    endpoint: tracesEndpoint(config),
    ratio: config.otelSamplingRatio,
    from: origins.otlpTracesEndpoint.text,
  }
}

const base = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }
const collector = 'http://collector:4318/v1/traces'

describe('the endpoint of traces', () => {
  const cases: readonly (readonly [string, Given, string | undefined])[] = [
    ['there is none by default', {}, undefined],
    ['a flag', { flags: ['--otlp-traces-endpoint', 'http://other:1/x'] }, 'http://other:1/x'],
    ['a flag without a path', { flags: ['--otlp-traces-endpoint', 'http://collector:4318'] }, collector],
    ['--enable-trace alone', { flags: ['--enable-trace'] }, 'http://localhost:4318/v1/traces'],
    ['the base of all signals', { env: base }, collector],
    [
      'the base with a path',
      { env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://c/otlp/' } },
      'https://c/otlp/v1/traces',
    ],
    [
      'that of traces before that of all',
      { env: { ...base, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://t:4318/here' } },
      'http://t:4318/here',
    ],
    [
      'an empty one counts as absent',
      { env: { ...base, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: '' } },
      collector,
    ],
    ['a flag before the variables', { env: base, flags: ['--otlp-traces-endpoint=none'] }, undefined],
    ['a file before the variables', { env: base, file: 'otlp-traces-endpoint: http://f/x' }, 'http://f/x'],
    [
      'an own variable before them',
      { env: { ...base, VLLM_ROUTER_OTLP_TRACES_ENDPOINT: 'http://own/x' } },
      'http://own/x',
    ],
    ['--no-enable-trace', { env: base, flags: ['--no-enable-trace'] }, undefined],
    [
      '--no-enable-trace with an endpoint',
      { flags: ['--no-enable-trace', '--otlp-traces-endpoint', 'http://c:1'] },
      undefined,
    ],
    ['the SDK is off', { env: { ...base, OTEL_SDK_DISABLED: 'true' } }, undefined],
    ['no exporter', { env: { ...base, OTEL_TRACES_EXPORTER: 'none' } }, undefined],
    [
      'another protocol over HTTP',
      { env: { ...base, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' } },
      collector,
    ],
    [
      'that of traces before that of all signals',
      {
        env: {
          ...{ ...base, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
          OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json',
        },
      },
      collector,
    ],
  ]
  for (const [name, given, expected] of cases)
    test(name, async () => assert.equal((await loaded(given)).endpoint, expected))

  test('says which variable it came from', async () => {
    assert.equal((await loaded({ env: base })).from, 'environment OTEL_EXPORTER_OTLP_ENDPOINT')
  })
})

describe('a wrong endpoint', () => {
  const cases: readonly (readonly [string, Given, RegExp])[] = [
    [
      'as the Rust router has it',
      { flags: ['--otlp-traces-endpoint', 'localhost:4317'] },
      /--otlp-traces-endpoint \(flag --otlp-traces-endpoint\): got "localhost:4317".*not gRPC.*"http:\/\/localhost:4318\/v1\/traces"/,
    ],
    [
      'with credentials, which are not shown',
      { flags: ['--otlp-traces-endpoint', 'http://me:canary@c:4318'] },
      /^(?!.*canary).*OTEL_EXPORTER_OTLP_HEADERS/s,
    ],
    [
      'with a query',
      { flags: ['--otlp-traces-endpoint', 'http://c:4318/v1/traces?key=1'] },
      /follows the path/,
    ],
    [
      'a protocol that is not spoken',
      { env: { ...base, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' } },
      /OTEL_EXPORTER_OTLP_PROTOCOL.*got "grpc".*--otlp-traces-endpoint/,
    ],
    ['in a variable', { env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector' } }, /OTEL_EXPORTER_OTLP_ENDPOINT/],
  ]
  for (const [name, given, expected] of cases)
    test(name, async () => {
      const result = await load(given)
      assert.ok(!result.ok)
      assert.match(formatProblems(result.faults), expected)
    })

  test('in a variable does not count where the flag says something', async () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }
    assert.equal((await loaded({ env, flags: ['--no-enable-trace'] })).endpoint, undefined)
    assert.equal((await loaded({ env, flags: ['--otlp-traces-endpoint', collector] })).endpoint, collector)
  })
})

describe('the share of traced requests', () => {
  const cases: readonly (readonly [sampler: string, argument: string | undefined, ratio: number])[] = [
    ['always_on', undefined, 1],
    ['parentbased_always_off', undefined, 0],
    ['traceidratio', '0.25', 0.25],
    ['parentbased_traceidratio', '0.01', 0.01],
    ['parentbased_traceidratio', undefined, 1],
    ['jaeger_remote', '0.5', 1],
  ]
  for (const [sampler, argument, ratio] of cases)
    test(`${sampler} ${argument ?? ''}`, async () => {
      const env = {
        ...{ ...base, OTEL_TRACES_SAMPLER: sampler },
        ...(argument !== undefined && { OTEL_TRACES_SAMPLER_ARG: argument }),
      }
      assert.equal((await loaded({ env })).ratio, ratio)
      assert.equal((await loaded({ env, flags: ['--otel-sampling-ratio', '0.125'] })).ratio, 0.125)
    })

  test('is from 0 to 1', async () => {
    const result = await load({ flags: ['--otel-sampling-ratio', '1.5'] })
    assert.ok(!result.ok)
    assert.match(formatProblems(result.faults), /from 0 to 1/)
  })
})
