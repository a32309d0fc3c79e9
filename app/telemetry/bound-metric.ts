import type { Metric, Registry } from 'prom-client'

/** The values of a metric's labels, in the order in which it names them. */
export type LabelValues<L extends readonly string[]> = { readonly [K in keyof L]: string }

export interface BoundMetricOptions<L extends readonly string[]> {
  readonly name: string
  readonly help: string
  readonly labelNames: L
  readonly registry: Registry
}

/** One line of the exposition, in the form that prom-client's registry prints and aggregates. */
export interface Sample {
  readonly metricName?: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

/**
 * A metric of a prom-client registry whose series are objects that can be kept: to count is an addition, and not, as
 * with prom-client's own, a check and a hash of the labels with each call (2 to 4 us of a request here).
 */
export abstract class BoundMetric<L extends readonly string[], S> {
  abstract readonly type: 'counter' | 'histogram'
  /** How several processes' values become one: prom-client's word for it. */
  readonly aggregator = 'sum'
  readonly name: string
  readonly help: string
  readonly labelNames: L
  readonly #series = new Map<string, { readonly values: LabelValues<L>; readonly series: S }>()

  constructor({ name, help, labelNames, registry }: BoundMetricOptions<L>) {
    this.name = name
    this.help = help
    this.labelNames = labelNames
    registry.registerMetric(this as unknown as Metric)
  }

  /** The series of these label values; it exists, at zero, from the first call on. */
  of(...values: LabelValues<L>): S {
    const key = values.length === 1 ? values[0]! : values.join('\n')
    let entry = this.#series.get(key)
    if (entry === undefined) {
      entry = { values, series: this.create() }
      this.#series.set(key, entry)
    }
    return entry.series
  }

  remove(...values: LabelValues<L>): void {
    this.#series.delete(values.join('\n'))
  }

  /** For the registry. */
  async get(): Promise<object> {
    // Without labels there is one series, zero before anything was counted.
    if (this.labelNames.length === 0) this.of(...([] as unknown as LabelValues<L>))
    const values: Sample[] = []
    for (const { values: of, series } of this.#series.values()) {
      const labels = Object.fromEntries(this.labelNames.map((name, index) => [name, of[index]!]))
      values.push(...this.samples(series, labels))
    }
    const { name, help, type, aggregator } = this
    return { name, help, type, aggregator, values }
  }

  protected abstract create(): S
  protected abstract samples(series: S, labels: Readonly<Record<string, string>>): readonly Sample[]
}
