import { type Bar, barChart, type Panel } from './bar-chart.ts'
import { costRatio } from './report.ts'
import type { CellResult, Row } from './run-cell.ts'
import { spreadOf } from './statistics.ts'

/** The CPU of each contender in each cell as a ratio to nginx; undefined where nginx was not among them. */
export function chart(cells: readonly CellResult[]): string | undefined {
  const panels = cells.map(panel).filter((one) => one !== undefined)
  if (panels.length === 0) return undefined
  const names = panels.map(({ title }) => title.split(':', 1)[0]).join(', ')
  const label = `CPU of each contender as a ratio to nginx, by cell: ${names}. The tables have the figures.`
  return barChart({ label, panels, columns: Math.min(2, panels.length), labelWidth: 150 })
}

function panel({ cell, unit, rows }: CellResult): Panel | undefined {
  const nginx = rows.find(({ contender }) => contender === 'nginx')
  if (nginx === undefined || nginx.samples.length === 0) return undefined
  const bars = rows.map((row) => bar(row, nginx)).filter((one) => one !== undefined)
  return { title: `${cell}: CPU of a ${unit}, nginx is 1`, bars: bars.toSorted((a, b) => a.value - b.value) }
}

function bar({ contender, samples }: Row, nginx: Row): Bar | undefined {
  const ratios = samples.map((sample, at) => costRatio(sample, nginx.samples[at]))
  const spread = spreadOf(ratios.filter((ratio) => ratio !== undefined))
  if (spread === undefined) return undefined
  const { median: value, min: low, max: high } = spread
  return { label: contender, value, low, high, ours: contender.startsWith('router-') }
}
