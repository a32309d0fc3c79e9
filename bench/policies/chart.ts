import { barChart, type Panel } from '../bar-chart.ts'
import type { Row } from './main.ts'

/**
 * The p90 of the time to the first token of each policy, as a multiple of the best one of its workload: one bar for each,
 * the geometric mean over all workloads and loads, with one router and with the most. On a logarithmic scale.
 */
export function chart(rows: readonly Row[]): string {
  const routers = [...new Set(rows.map((row) => row.routers))].sort((a, b) => a - b)
  const shown = [...new Set([routers[0]!, routers.at(-1)!])]
  const panels = shown.map((count) =>
    panel(
      rows.filter((row) => row.routers === count),
      count,
    ),
  )
  return barChart({ label: 'Time to first token by policy', panels, labelWidth: 284, scale: 'log' })
}

function panel(rows: readonly Row[], routers: number): Panel {
  const cases = Map.groupBy(rows, ({ workload, load }) => `${workload} ${load}`)
  const ratios = new Map<string, number[]>()
  for (const group of cases.values()) {
    const best = Math.min(...group.map(({ result }) => result.p90))
    for (const { policy, result } of group)
      ratios.set(policy, [...(ratios.get(policy) ?? []), Math.log(result.p90 / best)])
  }
  const bars = [...ratios].map(([label, logs]) => ({
    label,
    value: Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length),
    ours: label === 'cache_aware',
  }))
  return {
    title: `p90 of the time to the first token, as a multiple of the best (geometric mean over ${cases.size} cases), ${routers} ${routers === 1 ? 'router' : 'routers'}`,
    bars: bars.toSorted((a, b) => a.value - b.value),
  }
}
