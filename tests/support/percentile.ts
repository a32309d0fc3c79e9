/** The smallest of the values that at least that share (0 to 1) of them does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

/** For messages and diagnostics: `p50 1.2, p99 3.4, max 5.6`. */
export function spread(values: readonly number[]): string {
  const parts = [0.5, 0.99, 1].map((share) => percentile(values, share).toFixed(1))
  return `p50 ${parts[0]}, p99 ${parts[1]}, max ${parts[2]}`
}
