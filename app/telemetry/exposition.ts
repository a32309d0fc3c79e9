import {
  type MetricObjectWithValues,
  type MetricValue,
  type OpenMetricsContentType,
  Registry,
} from 'prom-client'
import type { Metrics } from './metrics.ts'

/** What a process shows on /metrics, as data that can be sent. */
export type Samples = readonly MetricObjectWithValues<MetricValue<string>>[]

/** What Prometheus gets. */
export interface Exposition {
  readonly text: string
  readonly contentType: string
}

/**
 * The samples of one registry; its gauges must be fresh.
 * @param names only of these metrics; default: of all
 */
export async function samplesOf({ registry }: Metrics, names?: readonly string[]): Promise<Samples> {
  const all =
    names === undefined
      ? await registry.getMetricsAsJSON()
      : await Promise.all(names.flatMap((name) => registry.getSingleMetric(name)?.get() ?? []))
  return all as unknown as Samples
}

/**
 * Whether whoever asks understands OpenMetrics, the one format that has exemplars. Prometheus does, and gets it only
 * where there are traces: nothing else in it is better.
 */
export function wantsOpenMetrics(accept: string | undefined): boolean {
  return accept?.includes('application/openmetrics-text') ?? false
}

export async function exposition(metrics: Metrics, openMetrics = false): Promise<Exposition> {
  const { registry } = metrics
  if (openMetrics) return openMetricsOf(await samplesOf(metrics))
  return { text: await registry.metrics(), contentType: registry.contentType }
}

/** prom-client takes the `_total` off a counter's name for ever when it prints it as OpenMetrics: it gets copies. */
export async function openMetricsOf(samples: Samples): Promise<Exposition> {
  const registry = new Registry<OpenMetricsContentType>()
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  for (const sample of samples) {
    const copy = { ...sample, get: async () => copy }
    registry.registerMetric(copy as never)
  }
  return { text: await registry.metrics(), contentType: registry.contentType }
}
