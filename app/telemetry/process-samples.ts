import { AggregatorRegistry } from 'prom-client'
import type { Exemplar, Sample } from './bound-metric.ts'
import { type Exposition, openMetricsOf, type Samples, samplesOf } from './exposition.ts'
import type { Metrics } from './metrics.ts'

/** What a supervisor knows by itself; the rest of its registry stands for nothing. */
const ownMetrics = /^vllm_router_(config_reload|queue_|rejected_|process_|event_loop_lag_)/
/** A series that only a worker of the pool has. */
const perWorker = 'vllm_router_processed_requests_total'
const breakerStates = 'vllm_router_cb_state'

/**
 * The samples of several processes as those of one router. What was counted by a process that is gone stays in the sum,
 * as far as it was known, so that no counter goes back when a process is replaced.
 */
export class ProcessSamples {
  readonly #last = new Map<number, Samples>()
  #gone: Samples[] = []

  /** The latest samples of a process. */
  note(process: number, samples: Samples): void {
    this.#last.set(process, samples)
  }

  /** The process is gone: its counters stay. */
  retire(process: number): void {
    const last = this.#last.get(process)
    if (last === undefined) return
    this.#last.delete(process)
    this.#gone.push(last.filter(({ type }) => isCounted(type)))
  }

  /** Everything together, with the supervisor's own. */
  async exposition(metrics: Metrics, openMetrics = false): Promise<Exposition> {
    const own = (await samplesOf(metrics)).filter(({ name }) => ownMetrics.test(name))
    const live = [...this.#last.values()]
    await this.#foldGone(live)
    const all = [own, ...live, ...this.#gone].map((samples) => samples.map(bySeverity))
    const registry = AggregatorRegistry.aggregate(all as unknown as object[])
    const breakers = await registry.getSingleMetric(breakerStates)?.get()
    for (const series of breakers?.values ?? []) series.value = severity(series.value)
    if (openMetrics) {
      const samples = (await registry.getMetricsAsJSON()) as unknown as Samples
      return openMetricsOf(withExemplars(samples, live))
    }
    return { text: await registry.metrics(), contentType: registry.contentType }
  }

  /** Keeps one set for all that are gone, without the workers that the router has no more. */
  async #foldGone(live: readonly Samples[]): Promise<void> {
    if (this.#gone.length === 0) return
    const folded = AggregatorRegistry.aggregate(this.#gone as unknown as object[])
    const samples = (await folded.getMetricsAsJSON()) as unknown as Samples
    const workers = new Set(live.flatMap((one) => workersOf(one)))
    const kept = samples.map((metric) => ({
      ...metric,
      values: metric.values.filter(({ labels: { worker } }) => worker === undefined || workers.has(worker)),
    }))
    // With no process left to ask, nobody knows which workers there are.
    this.#gone = [live.length === 0 ? samples : kept]
  }
}

function isCounted(type: unknown): boolean {
  return type === 'counter' || type === 'histogram'
}

function workersOf(samples: Samples): (string | number)[] {
  const metric = samples.find(({ name }) => name === perWorker)
  return metric?.values.flatMap(({ labels: { worker } }) => worker ?? []) ?? []
}

function bySeverity(metric: Samples[number]): Samples[number] {
  if (metric.name !== breakerStates) return metric
  return { ...metric, values: metric.values.map((one) => ({ ...one, value: severity(one.value) })) }
}

/** The state of a breaker (0 closed, 1 open, 2 half open) in the order closed, half open, open; and back again. */
function severity(state: number): number {
  return state === 0 ? 0 : 3 - state
}

/** To add buckets up drops their exemplars; of each bucket the latest one of any process comes back. */
function withExemplars(sums: Samples, live: readonly Samples[]): Samples {
  const latest = new Map<string, Exemplar>()
  for (const { values } of live.flat() as unknown as readonly { readonly values: readonly Sample[] }[]) {
    for (const value of values) {
      const { exemplar } = value
      if (exemplar === undefined) continue
      const before = latest.get(keyOf(value))
      if (before === undefined || before.timestamp < exemplar.timestamp) latest.set(keyOf(value), exemplar)
    }
  }
  return sums.map((metric) => ({
    ...metric,
    values: metric.values.map((value) => {
      const exemplar = latest.get(keyOf(value as Sample))
      return exemplar === undefined ? value : { ...value, exemplar }
    }),
  }))
}

function keyOf({ metricName, labels }: Sample): string {
  return `${metricName} ${JSON.stringify(labels)}`
}
