import { styleText } from 'node:util'
import type { RequestView } from '../../request/request-view.ts'
import type { WorkerState } from '../../workers/worker-state.ts'
import { duration, plain } from '../text-table.ts'
import { describeWorkers, type WorkerWords } from '../worker-words.ts'
import { failedLines, groupFailed } from './failed-requests.ts'
import { cut, cutMiddle, fitting, shortUrl, wrapped } from './fit.ts'
import { clockTime, type Known, troubleText } from './refreshing.ts'

export interface TopFacts {
  readonly workers: readonly WorkerState[]
  /** Requests that failed, the newest first. */
  readonly failed: readonly RequestView[]
}

export interface TopNow extends Known<TopFacts> {
  /** Of the router's operations listener. */
  readonly url: string
  readonly now: Date
}

export interface TopLayout {
  readonly columns: number
  /** Undefined: as many as it takes. */
  readonly rows?: number
  readonly paint: boolean
  /** Id of the worker that keys are about. */
  readonly selected?: string | undefined
  readonly help?: boolean
  /** What came of the last key. */
  readonly said?: string
}

export interface Row {
  readonly worker: WorkerState
  readonly words: WorkerWords
}

/** Those that need attention first, the others as the router lists them. */
export function inOrder(workers: readonly WorkerState[], now: Date): readonly Row[] {
  const words = describeWorkers(workers, now)
  return workers
    .map((worker, at) => ({ worker, words: words[at]! }))
    .toSorted((a, b) => a.words.rank - b.words.rank)
}

const keys = 'j k or arrows: select   d: drain   u: undrain   ?: help   q: quit'

/** What `top` shows: lines without newline, none wider than the terminal. */
export function topFrame(facts: TopNow, layout: TopLayout): string[] {
  const { columns, rows, said = '' } = layout
  const footer = rows === undefined ? [] : [said === '' ? keys : plain(said)]
  const heading = headingLines(facts, layout)
  const room = rows === undefined ? undefined : rows - heading.length - footer.length
  const body = layout.help === true ? helpLines : bodyLines(facts, layout, room)
  const gap = Array.from({ length: Math.max(0, (room ?? 0) - body.length) }, () => '')
  const shown = room === undefined ? body : body.slice(0, room)
  return [...heading, ...shown, ...gap, ...footer].map((line) => cut(line, columns))
}

function headingLines({ url, value, at, trouble, now }: TopNow, { columns, paint }: TopLayout): string[] {
  const age = at === undefined ? '' : `  as of ${clockTime(at)}`
  const bad = trouble === undefined ? [''] : wrapped(plain(troubleText(trouble, now)), columns)
  return [
    `vllm-router ${url}${age}`,
    value === undefined ? '' : fleetLine(value.workers),
    ...bad.map((line) => (paint && line !== '' ? styled(['red', 'bold'], line) : line)),
  ]
}

function fleetLine(workers: readonly WorkerState[]): string {
  const sum = (of: (worker: WorkerState) => number) => workers.reduce((all, worker) => all + of(worker), 0)
  const available = sum((worker) => (worker.available ? 1 : 0))
  const rate = perSecond(sum(({ recent }) => recent.attempts - recent.retries))
  const trouble = `${sum(({ recent }) => recent.failures)} failed, ${sum(({ recent }) => recent.refusals)} refused`
  const tokens = Math.round(sum(({ recent }) => recent.completion_tokens) / 60)
  const parts = [
    `${available} of ${workers.length} available`,
    `${sum((worker) => worker.in_flight)} in flight`,
    `${rate} requests/s`,
    `1 min: ${trouble}`,
    `${tokens} tokens/s`,
  ]
  return parts.join('  ')
}

/** Of a count of one minute. */
function perSecond(count: number): string {
  return (count / 60).toFixed(1)
}

const helpLines = [
  '',
  'WORKERS: those that need attention first, each with the reason below it.',
  '  hung          it takes requests and answers none',
  '  down          nobody listens there, or the network does not lead there',
  '  unhealthy     its health check says so',
  '  breaker open  too many of its answers failed; the reason is the last failure',
  '  busy          it refuses work (429, 503) and is asked again later',
  '  failing       a tenth or more of its attempts of the last minute failed',
  '  slow          first tokens come three times as late as at the median worker',
  '  REQ/S, FAILED, REFUSED, first token p50 and p95: of the last minute',
  '  tokens/s: of the answers that ended within the last minute',
  'FAILED REQUESTS: alike ones of one client together, the newest first.',
  '',
  'd drains the selected worker: it gets nothing new, and what it has goes on.',
  'u gives it requests again. Both need the admin key, where the router has one.',
  '',
  'any key: back',
]

function bodyLines(
  { value, trouble, now }: TopNow,
  layout: TopLayout,
  room: number | undefined,
): readonly string[] {
  if (value === undefined)
    return trouble === undefined ? ['asking ...'] : ['nothing is known yet; asking again every second']
  const { columns, selected, paint } = layout
  const workers = inOrder(value.workers, now)
  const groups = groupFailed(value.failed)
  const [heading, blocks] = workerBlocks(workers, {
    ...{ columns, selected: selected ?? '', paint: paint && trouble === undefined },
  })
  const failed = failedLines(groups, columns)
  const workerLines = blocks.flat().length
  if (room === undefined) return [heading, ...blocks.flat(), '', ...failed]
  const free = room - 1
  // Each gets what the other one does not need; when both need more, the workers get a little more than half.
  const forFailed = Math.min(failed.length, Math.max(Math.floor(free * 0.45), free - workerLines))
  const at = Math.max(
    0,
    workers.findIndex(({ worker }) => worker.id === selected),
  )
  return [heading, ...fitting(blocks, at, free - forFailed), ...failed.slice(0, forFailed)]
}

interface BlockLayout {
  readonly columns: number
  readonly selected: string
  readonly paint: boolean
}

/** Columns of all but the name. */
const figures = [
  { title: 'STATE', width: 12 },
  { title: 'IN FL', width: -5 },
  { title: 'REQ/S', width: -6 },
  { title: 'FAILED', width: -6 },
  { title: 'REFUSED', width: -7 },
  { title: '1ST p50', width: -7 },
  { title: 'p95', width: -7 },
] as const

/** The heading of the columns, and for each worker its line, with the reason in a second one. */
function workerBlocks(rows: readonly Row[], layout: BlockLayout): [string, string[][]] {
  const names = rows.map(({ worker }) => shortUrl(worker.url))
  const others = figures.reduce((sum, { width }) => sum + Math.abs(width) + 1, 0)
  const longest = Math.max('WORKER'.length, ...names.map((name) => name.length))
  const nameWidth = Math.max(8, Math.min(longest, layout.columns - others - 2))
  const line = (marker: string, name: string, cells: readonly string[]) =>
    [marker + cutMiddle(name, nameWidth).padEnd(nameWidth), ...cells.map(padded)].join(' ')
  const blocks = rows.map(({ worker, words }, index) => {
    const selected = worker.id === layout.selected
    const first = line(selected ? '> ' : '  ', names[index]!, cellsOf(worker, words))
    const lines = words.why === '' ? [first] : [first, `      ${plain(words.why)}`]
    return lines.map((text) => tinted(cut(text, layout.columns), words.tone, selected, layout.paint))
  })
  const titles = figures.map(({ title }) => title)
  return [line('  ', 'WORKER', titles).trimEnd(), blocks]
}

function cellsOf({ in_flight: inFlight, recent }: WorkerState, { state }: WorkerWords): string[] {
  const { attempts, failures, refusals, first_token_ms: first } = recent
  const times = first === null ? ['-', '-'] : [first.p50, first.p95].map(duration)
  return [state, String(inFlight), perSecond(attempts), String(failures), String(refusals), ...times]
}

function padded(cell: string, at: number): string {
  const { width } = figures[at]!
  return width < 0 ? cell.padStart(-width) : cell.padEnd(width)
}

const colours = { bad: 'red', fair: 'yellow', good: 'reset' } as const

function tinted(text: string, tone: WorkerWords['tone'], selected: boolean, paint: boolean): string {
  if (!paint) return text
  const styles: Styles = selected ? [colours[tone], 'bold'] : [colours[tone]]
  return tone === 'good' && !selected ? text : styled(styles, text)
}

type Styles = Exclude<Parameters<typeof styleText>[0], string>

/** Whatever standard output is: the terminal has said that it wants colours. */
function styled(styles: Styles, text: string): string {
  return styleText(styles, text, { validateStream: false })
}
