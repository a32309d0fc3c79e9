/** Bars as SVG: text as text, readable on a light and on a dark page, small. */

export interface Bar {
  readonly label: string
  readonly value: number
  /** Where repeats lay: drawn as a line. */
  readonly low?: number
  readonly high?: number
  /** One of those that the chart is about. */
  readonly ours: boolean
}

export interface Panel {
  readonly title: string
  /** From the top down. */
  readonly bars: readonly Bar[]
}

export interface BarChart {
  /** For those who do not see it. */
  readonly label: string
  readonly panels: readonly Panel[]
  /** Panels beside each other. Default 1. */
  readonly columns?: number
  /** Pixels that labels have. */
  readonly labelWidth: number
  /** `log` begins at 1; default `linear`, which begins at 0. */
  readonly scale?: 'linear' | 'log'
}

const width = 960
const margin = 16
const top = 34
const step = 20
const barHeight = 14
/** For the figure behind the bar. */
const figureWidth = 50

const style =
  'text{font:12px system-ui,sans-serif;fill:#334155}.t{font-weight:600;font-size:13px}.b{fill:#fff}' +
  '.o{fill:#2563eb}.x{fill:#94a3b8}path{stroke:#0f172a;opacity:.6}' +
  '@media(prefers-color-scheme:dark){text{fill:#cbd5e1}.b{fill:#0f172a}.o{fill:#60a5fa}.x{fill:#64748b}path{stroke:#fff}}'

export function barChart({ label, panels, columns = 1, labelWidth, scale = 'linear' }: BarChart): string {
  const columnWidth = width / columns
  const room = columnWidth - margin - labelWidth - figureWidth
  const groups: string[] = []
  let y = 0
  for (let first = 0; first < panels.length; first += columns) {
    const row = panels.slice(first, first + columns)
    for (const [column, panel] of row.entries())
      groups.push(
        `<g transform="translate(${column * columnWidth} ${y})">${panelOf(panel, { labelWidth, room, scale })}</g>`,
      )
    y += top + Math.max(...row.map(({ bars }) => bars.length)) * step + margin
  }
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" role="img" aria-label="${escaped(label)}">` +
    `<style>${style}</style><rect class="b" width="100%" height="100%"/>\n${groups.join('\n')}\n</svg>\n`
  )
}

interface Geometry {
  readonly labelWidth: number
  /** Pixels that the longest bar has. */
  readonly room: number
  readonly scale: 'linear' | 'log'
}

function panelOf({ title, bars }: Panel, { labelWidth, room, scale }: Geometry): string {
  const longest = Math.max(...bars.map(({ value, high = value }) => high))
  const length = (value: number): number => {
    const share = scale === 'log' ? Math.log(value) / Math.log(Math.max(2, longest)) : value / longest
    return Math.max(2, share * room)
  }
  const left = margin + labelWidth
  const lines = bars.map(({ label, value, low, high, ours }, index) => {
    const y = top + index * step
    const at = (end: number): string => (left + length(end)).toFixed(1)
    const spread =
      low === undefined || high === undefined || low === high
        ? ''
        : `<path d="M${at(low)} ${y + barHeight / 2}H${at(high)}"/>`
    return (
      `<text x="${left - 8}" y="${y + 11}" text-anchor="end">${escaped(label)}</text>` +
      `<rect class="${ours ? 'o' : 'x'}" x="${left}" y="${y}" width="${length(value).toFixed(1)}" height="${barHeight}" rx="2"/>` +
      `${spread}<text x="${(left + length(Math.max(value, high ?? 0)) + 6).toFixed(1)}" y="${y + 11}">${value.toFixed(2)}</text>`
    )
  })
  return `<text class="t" x="${margin}" y="20">${escaped(title)}</text>${lines.join('')}`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
