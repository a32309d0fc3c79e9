import type { Row } from './main.ts'

const width = 960
const left = 300
const barHeight = 14
const gap = 6
const colors = { ours: '#2563eb', other: '#94a3b8' } as const

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
  const height = panels.reduce((sum, { height }) => sum + height, 0)
  let y = 0
  const groups = panels.map((one) => {
    const group = `<g transform="translate(0 ${y})">${one.svg}</g>`
    y += one.height
    return group
  })
  const style = 'text{font:12px system-ui,sans-serif;fill:#334155}.title{font-weight:600;font-size:13px}'
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="Time to first token by policy"><style>${style}</style><rect width="100%" height="100%" fill="#fff"/>${groups.join('')}</svg>\n`
}

function panel(rows: readonly Row[], routers: number): { svg: string; height: number } {
  const cases = Map.groupBy(rows, ({ workload, load }) => `${workload} ${load}`)
  const ratios = new Map<string, number[]>()
  for (const group of cases.values()) {
    const best = Math.min(...group.map(({ result }) => result.p90))
    for (const { policy, result } of group)
      ratios.set(policy, [...(ratios.get(policy) ?? []), Math.log(result.p90 / best)])
  }
  const means = [...ratios]
    .map(([policy, logs]) => ({
      policy,
      mean: Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length),
    }))
    .toSorted((a, b) => a.mean - b.mean)
  const most = Math.max(2, ...means.map(({ mean }) => mean))
  const scale = (width - left - 70) / Math.log(most)
  const title = `p90 of the time to the first token, as a multiple of the best (geometric mean over ${cases.size} cases), ${routers} ${routers === 1 ? 'router' : 'routers'}`
  const bars = means.map(({ policy, mean }, index) => {
    const y = 34 + index * (barHeight + gap)
    const length = Math.max(2, Math.log(mean) * scale)
    const fill = policy === 'cache_aware' ? colors.ours : colors.other
    return `<text x="${left - 8}" y="${y + 11}" text-anchor="end">${policy}</text><rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="2" fill="${fill}"/><text x="${(left + length + 6).toFixed(1)}" y="${y + 11}">${mean.toFixed(2)}</text>`
  })
  return {
    svg: `<text class="title" x="16" y="20">${title}</text>${bars.join('')}`,
    height: 34 + means.length * (barHeight + gap) + 16,
  }
}
