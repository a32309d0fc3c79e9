import { AggregatorRegistry } from 'prom-client'
import type { Exemplar, Sample } from './bound-metric.ts'
import { type Exposition, openMetricsOf, type Samples, samplesOf } from './exposition.ts'
import { type Figures, figureNames, figuresOf } from './figures.ts'
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

  /** The latest samples of a process, of all its metrics or of some. */
  note(process: number, samples: Samples): void {
    const fresh = new Set(samples.map(({ name }) => name))
    const others = this.#last.get(process)?.filter(({ name }) => !fresh.has(name)) ?? []
    this.#last.set(process, [...samples, ...others])
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
    const live = [...this.#last.values()]
    await this.#foldGone(live)
    const registry = await this.#merged(metrics)
    const breakers = await registry.getSingleMetric(breakerStates)?.get()
    for (const series of breakers?.values ?? []) series.value = severity(series.value)
    if (openMetrics) {
      const samples = (await registry.getMetricsAsJSON()) as unknown as Samples
      return openMetricsOf(withExemplars(samples, live))
    }
    return { text: await registry.metrics(), contentType: registry.contentType }
  }

  /** Everything together, as figures. */
  async figures(metrics: Metrics): Promise<Figures> {
    const registry = await this.#merged(metrics, figureNames)
    return figuresOf((await registry.getMetricsAsJSON()) as unknown as Samples)
  }

  /** @param names only of these metrics; default: of all */
  async #merged(metrics: Metrics, names?: readonly string[]) {
    const own = (await samplesOf(metrics, names)).filter(({ name }) => ownMetrics.test(name))
    const all = [own, ...this.#last.values(), ...this.#gone].map((samples) =>
      samples.filter(({ name }) => names?.includes(name) ?? true).map(bySeverity),
    )
    return AggregatorRegistry.aggregate(all as unknown as object[])
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
    // With no process that has said it, nobody knows which workers there are.
    const told = live.some((one) => one.some(({ name }) => name === perWorker))
    this.#gone = [told ? kept : samples]
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
