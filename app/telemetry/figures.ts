import type { Samples } from './exposition.ts'

/** Totals since the start of the router, as `/metrics` has them, without the requests of probes. */
export interface Figures {
  /** Finished client requests, by status. */
  readonly requests: Readonly<Record<string, number>>
  /** Errors that the router itself answered or logged, by code. */
  readonly errors: Readonly<Record<string, number>>
  readonly retries: number
  /** By kind: prompt, completion, cached. */
  readonly tokens: Readonly<Record<string, number>>
  /** Requests that wait for a slot now. */
  readonly queued: number
  /** Times to the first token, of all models together. */
  readonly first_token: FirstTokens
}

export interface FirstTokens {
  /** Seconds, rising, without infinity. */
  readonly bounds: readonly number[]
  /** Streams whose first token came within each bound; one more number than bounds, the last is for all streams. */
  readonly counts: readonly number[]
}

const names = {
  requests: 'vllm_router_requests_total',
  errors: 'vllm_router_request_errors_total',
  retries: 'vllm_router_retries_total',
  tokens: 'vllm_router_tokens_total',
  queued: 'vllm_router_queue_depth',
  firstToken: 'vllm_router_time_to_first_token_seconds',
} as const

/** The metrics that the figures need. None has the label `worker`: they are few in a fleet of any size. */
export const figureNames: readonly string[] = Object.values(names)

/** Of a kubelet or a load balancer, every few seconds. */
const probes: ReadonlySet<unknown> = new Set(['/health', '/liveness', '/readiness'])

/** @param samples of one registry, or of several that were merged; see `figureNames` */
export function figuresOf(samples: Samples): Figures {
  const valuesOf = (name: string) =>
    (samples.find((metric) => metric.name === name)?.values ?? []).filter(
      ({ labels }) => !probes.has(labels.route),
    )
  const sums = (name: string, label: string) => sumBy(valuesOf(name), ({ labels }) => labels[label])
  const total = (name: string) => valuesOf(name).reduce((sum, { value }) => sum + value, 0)
  const buckets = valuesOf(names.firstToken).filter(({ labels }) => labels.le !== undefined)
  const counts = Object.entries(sumBy(buckets, ({ labels }) => labels.le))
    .map(([le, count]) => [le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le), count] as const)
    .toSorted(([a], [b]) => a - b)
  return {
    requests: sums(names.requests, 'status'),
    errors: sums(names.errors, 'error_type'),
    retries: total(names.retries),
    tokens: sums(names.tokens, 'kind'),
    queued: total(names.queued),
    first_token: {
      bounds: counts.flatMap(([le]) => (Number.isFinite(le) ? [le] : [])),
      counts: counts.map(([, count]) => count),
    },
  }
}

type Value = Samples[number]['values'][number]

function sumBy(
  values: readonly Value[],
  keyOf: (value: Value) => string | number | undefined,
): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const one of values) {
    const key = String(keyOf(one))
    sums[key] = (sums[key] ?? 0) + one.value
  }
  return sums
}
