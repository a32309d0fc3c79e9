import type { Environment } from './environment.ts'
import type { ConfigProblem, RawValue, Reading } from './problem.ts'
import type { SettingKey } from './settings.ts'

/**
 * The variables of OpenTelemetry that say what a setting says. Other programs are meant as well: whatever is said to
 * this one, in whichever way, goes first, and then they are not even looked at. An empty one counts as absent, as
 * OpenTelemetry has it. The variables about what is sent and how (OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_HEADERS, ...) are read
 * by its SDK.
 *
 * @param given what is said to this program
 */
export function readOtelVariables(env: Environment, given: ReadonlySet<string>): Reading {
  const values: RawValue[] = []
  const faults: ConfigProblem[] = []
  const take = (key: SettingKey, variable: string, value: unknown) =>
    values.push({ key, value, origin: { source: 'environment', text: `environment ${variable}` } })

  if (given.has('otlpTracesEndpoint') || given.has('enableTrace')) return { values, faults }
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true') return { values, faults }
  if (env.OTEL_TRACES_EXPORTER === 'none') return { values, faults }
  const [variable, endpoint] = endpointOf(env)
  if (endpoint === undefined) return { values, faults }
  const grpc = grpcVariable(env)
  if (grpc !== undefined)
    faults.push({
      name: grpc,
      origin: `environment ${grpc}`,
      problem: 'got "grpc"',
      allowed: 'http/json, http/protobuf',
      hint: 'give --otlp-traces-endpoint http://collector:4318/v1/traces, or --no-enable-trace',
    })
  else take('otlpTracesEndpoint', variable, endpoint)
  const ratio = given.has('otelSamplingRatio') ? undefined : ratioOf(env)
  if (ratio !== undefined) take('otelSamplingRatio', 'OTEL_TRACES_SAMPLER', ratio)
  return { values, faults }
}

function endpointOf(env: Environment): [variable: string, endpoint: string | undefined] {
  const own = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || undefined
  if (own !== undefined) return ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', own]
  const base = env.OTEL_EXPORTER_OTLP_ENDPOINT || undefined
  return ['OTEL_EXPORTER_OTLP_ENDPOINT', base && `${base.replace(/\/$/, '')}/v1/traces`]
}

function grpcVariable(env: Environment): string | undefined {
  const variable = env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL
    ? 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'
    : 'OTEL_EXPORTER_OTLP_PROTOCOL'
  return env[variable] === 'grpc' ? variable : undefined
}

/** Parents are always respected; what the others differ in is the ratio. */
function ratioOf({ OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: ratio }: Environment): unknown {
  switch (sampler?.replace(/^parentbased_/, '')) {
    case 'always_on':
      return 1
    case 'always_off':
      return 0
    case 'traceidratio':
      return ratio || 1
    default:
      return undefined
  }
}
