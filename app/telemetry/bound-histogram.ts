import { BoundMetric, type BoundMetricOptions, type Exemplar, type Sample } from './bound-metric.ts'

export interface BoundHistogramOptions<L extends readonly string[]> extends BoundMetricOptions<L> {
  /** Upper bounds in rising order, without infinity. */
  readonly buckets: readonly number[]
}

export class HistogramSeries {
  readonly #bounds: readonly number[]
  /** Observations up to each bound and above the one before; the last is for those above all bounds. */
  readonly counts: Float64Array
  sum = 0
  /** The last traced observation of each bucket; undefined where there has been none in any. */
  exemplars: (Exemplar | undefined)[] | undefined

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  /** @param traceId of the trace that shows where the value comes from, if there is one */
  observe(value: number, traceId?: string): void {
    const bounds = this.#bounds
    let index = 0
    while (index < bounds.length && value > bounds[index]!) index++
    this.counts[index]! += 1
    this.sum += value
    if (traceId === undefined) return
    this.exemplars ??= []
    this.exemplars[index] = { labelSet: { trace_id: traceId }, value, timestamp: Date.now() / 1000 }
  }
}

export class BoundHistogram<const L extends readonly string[]> extends BoundMetric<L, HistogramSeries> {
  readonly type = 'histogram'
  readonly #buckets: readonly number[]

  constructor({ buckets, ...options }: BoundHistogramOptions<L>) {
    super(options)
    this.#buckets = buckets
  }

  protected create(): HistogramSeries {
    return new HistogramSeries(this.#buckets)
  }

  protected samples(
    { counts, sum, exemplars }: HistogramSeries,
    labels: Sample['labels'],
  ): readonly Sample[] {
    let below = 0
    const buckets = Array.from(counts, (count, index): Sample => {
      below += count
      const le = this.#buckets[index] ?? '+Inf'
      const line = { metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: below }
      const exemplar = exemplars?.[index]
      return exemplar === undefined ? line : { ...line, exemplar }
    })
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: below },
    ]
  }
}
