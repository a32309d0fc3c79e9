import type { Metric, Registry } from 'prom-client'

/** The values of a metric's labels, in the order in which it names them. */
export type LabelValues<L extends readonly string[]> = { readonly [K in keyof L]: string }

export interface BoundMetricOptions<L extends readonly string[]> {
  readonly name: string
  readonly help: string
  readonly labelNames: L
  readonly registry: Registry
}

/** One observation of a bucket, and the trace in which it was made; in the form of prom-client. */
export interface Exemplar {
  readonly labelSet: { readonly trace_id: string }
  readonly value: number
  /** Seconds since 1970. */
  readonly timestamp: number
}

/** One line of the exposition, in the form that prom-client's registry prints and aggregates. */
export interface Sample {
  readonly metricName?: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
  readonly exemplar?: Exemplar | undefined
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
  /** By the first label's value, then by the second's: to join them into one key cost 2.5 us of a request on Bun. */
  readonly #root: Branch<S> = { below: new Map(), series: undefined }

  constructor({ name, help, labelNames, registry }: BoundMetricOptions<L>) {
    this.name = name
    this.help = help
    this.labelNames = labelNames
    registry.registerMetric(this as unknown as Metric)
  }

  /** The series of these label values; it exists, at zero, from the first call on. */
  of(...values: LabelValues<L>): S {
    let branch = this.#root
    for (const value of values) {
      let next = branch.below.get(value)
      if (next === undefined) {
        next = { below: new Map(), series: undefined }
        branch.below.set(value, next)
      }
      branch = next
    }
    branch.series ??= this.create()
    return branch.series
  }

  remove(...values: LabelValues<L>): void {
    removeFrom(this.#root, values)
  }

  /** For the registry. */
  async get(): Promise<object> {
    // Without labels there is one series, zero before anything was counted.
    if (this.labelNames.length === 0) this.of(...([] as unknown as LabelValues<L>))
    const values: Sample[] = []
    for (const { labels, series } of allSeries(this.#root, this.labelNames))
      values.push(...this.samples(series, labels))
    const { name, help, type, aggregator } = this
    return { name, help, type, aggregator, values }
  }

  protected abstract create(): S
  protected abstract samples(series: S, labels: Readonly<Record<string, string>>): readonly Sample[]
}

interface Branch<S> {
  readonly below: Map<string, Branch<S>>
  series: S | undefined
}

function removeFrom<S>({ below }: Branch<S>, [first = '', ...rest]: readonly string[]): void {
  const next = below.get(first)
  if (next === undefined) return
  if (rest.length > 0) removeFrom(next, rest)
  if (rest.length === 0 || next.below.size === 0) below.delete(first)
}

type Labels = Readonly<Record<string, string>>

function* allSeries<S>(
  { below, series }: Branch<S>,
  [name, ...names]: readonly string[],
  labels: Labels = {},
): Generator<{ labels: Labels; series: S }> {
  if (series !== undefined) yield { labels, series }
  if (name !== undefined)
    for (const [value, next] of below) yield* allSeries(next, names, { ...labels, [name]: value })
}
