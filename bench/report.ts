import type { Sample } from './cells/cell.ts'
import type { Machine } from './machine.ts'
import type { CellResult, Row } from './run-cell.ts'
import { type Spread, spreadOf } from './statistics.ts'

export interface Report {
  readonly machine: Machine
  readonly repeats: number
  readonly cells: readonly CellResult[]
  /** What each contender is, by name. */
  readonly about: Readonly<Record<string, string>>
}

/** Samples of the same repeat that one is compared with; `bare` is the passthrough on the same runtime. */
interface Beside {
  readonly nginx: Sample | undefined
  readonly direct: Sample | undefined
  readonly bare: Sample | undefined
}

interface Column {
  readonly title: string
  readonly digits: number
  readonly of: (sample: Sample, beside: Beside) => number | undefined
}

const cost = ({ cpuMs, units }: Sample): number => (cpuMs * 1000) / units

/** CPU of one unit as a multiple of what nginx took in the same repeat. */
export function costRatio(sample: Sample, nginx: Sample | undefined): number | undefined {
  return nginx === undefined || sample.cpuMs === 0 ? undefined : cost(sample) / cost(nginx)
}

const throughput = ({ units, seconds }: Sample): number => units / seconds

function minus(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a - b
}

const columns = (unit: string): readonly Column[] => [
  { title: `CPU us/${unit}`, digits: 1, of: (sample) => (sample.cpuMs === 0 ? undefined : cost(sample)) },
  { title: 'ratio to nginx', digits: 2, of: (sample, { nginx }) => costRatio(sample, nginx) },
  { title: `${unit}s/s`, digits: 0, of: throughput },
  {
    title: 'of bare',
    digits: 2,
    of: (sample, { bare }) =>
      bare === undefined || bare === sample ? undefined : throughput(sample) / throughput(bare),
  },
  ...added('request', ({ latency }) => latency),
  ...added('first token', ({ firstToken }) => firstToken),
  ...added('token', ({ tokenLag }) => tokenLag),
  { title: 'peak MB', digits: 0, of: ({ peakKb }) => (peakKb === 0 ? undefined : peakKb / 1024) },
  { title: 'KB/stream', digits: 1, of: ({ kbPerStream }) => kbPerStream },
  { title: 'idle CPU %', digits: 2, of: ({ idleCpuShare }) => idleCpuShare && idleCpuShare * 100 },
  { title: 'scrape ms', digits: 1, of: ({ scrapeMs }) => scrapeMs },
]

/** Milliseconds that a contender adds to what the direct way takes. */
function added(what: string, delays: (sample: Sample) => Sample['latency']): Column[] {
  return (['mean', 'p50', 'p99'] as const).map((which) => ({
    title: `${what} +ms ${which}`,
    digits: 2,
    of: (sample, { direct }) =>
      sample === direct || direct === undefined
        ? undefined
        : minus(delays(sample)?.[which], delays(direct)?.[which]),
  }))
}

export function markdown({ machine, repeats, cells, about }: Report): string {
  const { versions, ...rest } = machine
  const lines = [
    `# Benchmark of ${rest.date} UTC`,
    '',
    `${rest.processor}, ${rest.cores} cores, ${rest.memoryGb} GB, Linux ${rest.kernel}, ${rest.openFiles} open files. Router ${rest.router}.`,
    `Medians of ${repeats} alternating repeats, (lowest to highest). CPU is user and system time of the contender's processes alone.`,
    'Load, workers and contender share the machine. Added times are those of the same repeat less the direct way.',
    '',
    ...Object.entries(about).map(([name, what]) => `- **${name}** ${versions[name] ?? ''}: ${what}`),
    `- load: wrk ${versions.wrk} (requests), bench/load (streams, constant rate)`,
    '',
    ...cells.flatMap((cell) => [...cellTable(cell, machine.cores), '']),
  ]
  return lines.join('\n')
}

export function cellTable({ cell, about, unit, rows }: CellResult, cores: number): string[] {
  const find = (name: string): Row | undefined => rows.find(({ contender }) => contender === name)
  const figures = rows.map((row) => {
    const runtime = /-(bun|node)\b/.exec(row.contender)?.[1]
    const [nginx, direct, bare] = ['nginx', 'direct', `bare-${runtime}`].map(find)
    const beside = (at: number): Beside => ({
      nginx: nginx?.samples[at],
      direct: direct?.samples[at],
      bare: bare?.samples[at],
    })
    const values = ({ of }: Column): number[] =>
      row.samples.map((sample, at) => of(sample, beside(at))).filter((value) => value !== undefined)
    return { row, spreads: columns(unit).map((column) => spreadOf(values(column))) }
  })
  const shown = columns(unit)
    .map((column, index) => ({ column, index }))
    .filter(({ index }) => figures.some(({ spreads }) => spreads[index] !== undefined))
  return [
    `## ${cell}`,
    '',
    filled(`${about[0]?.toUpperCase()}${about.slice(1)}. ${harnessCost(rows, unit, cores)}`),
    '',
    `| contender | ${shown.map(({ column }) => column.title).join(' | ')} | errors |`,
    `|---|${'---|'.repeat(shown.length + 1)}`,
    ...figures.map(({ row, spreads }) => {
      if (row.missing !== undefined)
        return `| ${row.contender} | ${row.missing.split('\n', 1)[0]} |${' |'.repeat(shown.length)}`
      const cellsOfRow = shown.map(({ column, index }) => shownSpread(spreads[index], column.digits))
      const errors = row.samples.reduce((sum, sample) => sum + sample.errors, 0)
      return `| ${row.contender} | ${cellsOfRow.join(' | ')} | ${errors} |`
    }),
  ]
}

function shownSpread(spread: Spread | undefined, digits: number): string {
  if (spread === undefined) return '-'
  const [median, min, max] = [spread.median, spread.min, spread.max].map((value) => value.toFixed(digits))
  return min === max ? `${median}` : `${median} (${min} to ${max})`
}

/** Text in lines that can be read beside code, as the pages of the project have them. */
function filled(text: string): string {
  return text.replaceAll(/(.{1,118})(?: |$)/g, '$1\n').trimEnd()
}

/** What measuring costs itself, over all contenders, and what others took of the machine meanwhile. */
function harnessCost(rows: readonly Row[], unit: string, cores: number): string {
  const samples = rows.flatMap((row) => row.samples)
  const median = (of: (sample: Sample) => number): string =>
    spreadOf(samples.map(of))?.median.toFixed(1) ?? '?'
  const load = median(({ loadCpuMs, units }) => (loadCpuMs * 1000) / units)
  const workers = median(({ workerCpuMs, units }) => (workerCpuMs * 1000) / units)
  const others = median(
    ({ machineCpuMs, cpuMs, loadCpuMs, workerCpuMs, seconds }) =>
      (100 * Math.max(0, machineCpuMs - cpuMs - loadCpuMs - workerCpuMs)) / (seconds * 1000 * cores),
  )
  return (
    `The harness itself: generator ${load}, workers ${workers} us of CPU a ${unit}. ` +
    `All else that ran used ${others}% of the machine.`
  )
}
