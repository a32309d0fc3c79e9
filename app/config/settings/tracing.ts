import { optional } from '../kinds/kind.ts'
import { decimal } from '../kinds/number-kinds.ts'
import { parseOtlpEndpoint } from '../kinds/otlp-endpoint.ts'
import { setting } from '../kinds/setting.ts'
import { onOffOr } from '../kinds/switch-kinds.ts'
import { text } from '../kinds/text-kinds.ts'

export const tracing = {
  enableTrace: setting({
    kind: onOffOr('auto'),
    default: undefined as boolean | undefined,
    help: 'send traces of requests (OpenTelemetry); auto: when there is an endpoint; true without one: to localhost',
    restart: true,
  }),
  otlpTracesEndpoint: setting({
    kind: optional(
      text('an address such as http://collector:4318/v1/traces', parseOtlpEndpoint, '<url>'),
      'none',
    ),
    default: undefined,
    help: 'where traces are sent, by OTLP over HTTP; none: as OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT says',
    restart: true,
  }),
  otelSamplingRatio: setting({
    kind: decimal({ min: 0, max: 1 }),
    default: 1,
    help: 'share of the requests that are traced; where a client sends a traceparent, it has decided',
    danger: 'each traced request costs 20 to 30 us of CPU, and sends 3 KB to the collector',
  }),
}
