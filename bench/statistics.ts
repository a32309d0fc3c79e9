export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Median of few values, with the lowest and the highest; undefined for none. */
export function spreadOf(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined
  const sorted = values.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return {
    median: (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2,
    min: sorted[0]!,
    max: sorted.at(-1)!,
  }
}

export interface Delays {
  readonly count: number
  readonly mean: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** What many delays come to. A percentile is the smallest value that so many of all do not exceed. */
export function delaysOf(values: readonly number[]): Delays | undefined {
  if (values.length === 0) return undefined
  const sorted = Float64Array.from(values).sort()
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]!
  const sum = sorted.reduce((total, value) => total + value, 0)
  return { count: sorted.length, mean: sum / sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}
