import type { Config } from '../config/settings.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from './logger.ts'
import type { Metrics } from './metrics.ts'
import type { Tracer } from './tracer.ts'

const usualEndpoint = 'http://localhost:4318/v1/traces'

/** Where traces go; undefined: nowhere, there are none. */
export function tracesEndpoint({ enableTrace, otlpTracesEndpoint }: Config): string | undefined {
  if (enableTrace === false) return undefined
  return otlpTracesEndpoint ?? (enableTrace === true ? usualEndpoint : undefined)
}

/** The tracer that the configuration wants. */
export async function createTracer(
  config: Config,
  { metrics, log, clock }: { readonly metrics: Metrics; readonly log: Log; readonly clock: Clock },
): Promise<Tracer | undefined> {
  const endpoint = tracesEndpoint(config)
  if (endpoint === undefined) return undefined
  const ratio = config.otelSamplingRatio
  // Only loaded where it is wanted: it takes 140 ms of the start and 20 MB.
  const { OtelTracer } = await import('./otel/otel-tracer.ts')
  log.info({ endpoint, sampling_ratio: ratio }, 'traces are sent')
  const { spansDropped } = metrics
  // Zero from the start: a rate over a series that does not exist yet misses its first increase.
  for (const loss of ['queue_full', 'not_delivered']) spansDropped.of(loss)
  return new OtelTracer({
    ...{ endpoint, ratio, log, clock },
    scheme: config.tlsCertFile === undefined ? 'http' : 'https',
    onLost: (loss, spans) => spansDropped.of(loss).inc(spans),
  })
}
