import type { Figures, FirstTokens } from '../telemetry/figures.ts'

/** What the fleet did at one moment, for a chart. */
export interface Point {
  readonly at: string
  /** Per second, over the ten seconds before. */
  readonly requests: number
  readonly errors: number
  readonly retries: number
  readonly prompt_tokens: number
  readonly completion_tokens: number
  /** At that moment. */
  readonly in_flight: number
  readonly queued: number
  /** Milliseconds to the first token, of the streams of the last ten seconds; null where there was none. */
  readonly first_token_ms: { readonly p50: number; readonly p95: number } | null
}

/** Totals at one moment. */
export interface Reading {
  /** Milliseconds on the router's clock. */
  readonly now: number
  readonly at: string
  readonly in_flight: number
  readonly figures: Figures
}

/** @param before some ten seconds earlier: one second has too few streams for a percentile, and its rates jump about */
export function pointOf(reading: Reading, before: Reading): Point {
  const seconds = Math.max(0.001, (reading.now - before.now) / 1000)
  const { figures } = reading
  // A process that ended by itself takes with it what it counted last.
  const rate = (after: number, was: number) => Math.max(0, round((after - was) / seconds))
  return {
    at: reading.at,
    requests: rate(total(figures.requests), total(before.figures.requests)),
    errors: rate(total(figures.errors), total(before.figures.errors)),
    retries: rate(figures.retries, before.figures.retries),
    prompt_tokens: rate(figures.tokens.prompt ?? 0, before.figures.tokens.prompt ?? 0),
    completion_tokens: rate(figures.tokens.completion ?? 0, before.figures.tokens.completion ?? 0),
    in_flight: reading.in_flight,
    queued: figures.queued,
    first_token_ms: percentiles(figures.first_token, before.figures.first_token),
  }
}

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}

function percentiles(after: FirstTokens, before: FirstTokens): Point['first_token_ms'] {
  const counts = after.counts.map((count, index) => Math.max(0, count - (before.counts[index] ?? 0)))
  if ((counts.at(-1) ?? 0) === 0) return null
  return { p50: percentile(after.bounds, counts, 0.5), p95: percentile(after.bounds, counts, 0.95) }
}

/** In milliseconds, as Prometheus' `histogram_quantile` has it: evenly spread between two bounds. */
function percentile(bounds: readonly number[], counts: readonly number[], share: number): number {
  const rank = share * (counts.at(-1) ?? 0)
  const index = counts.findIndex((count) => count >= rank)
  const high = bounds[index]
  const low = index > 0 ? (bounds[index - 1] ?? 0) : 0
  // Above the last bound nothing more is known.
  if (high === undefined) return round((bounds.at(-1) ?? 0) * 1000)
  const below = index > 0 ? (counts[index - 1] ?? 0) : 0
  const within = (counts[index] ?? 0) - below
  return round((low + (high - low) * (within === 0 ? 1 : (rank - below) / within)) * 1000)
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
