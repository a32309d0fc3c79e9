import { BoundMetric, type Sample } from './bound-metric.ts'

export class CounterSeries {
  value = 0

  /** @param by not negative */
  inc(by = 1): void {
    this.value += by
  }
}

export class BoundCounter<const L extends readonly string[]> extends BoundMetric<L, CounterSeries> {
  readonly type = 'counter'

  protected create(): CounterSeries {
    return new CounterSeries()
  }

  protected samples({ value }: CounterSeries, labels: Sample['labels']): readonly Sample[] {
    return [{ labels, value }]
  }
}
