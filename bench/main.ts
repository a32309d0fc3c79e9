/** `npm run bench`: cost per request and per token, side by side. See docs/performance.md. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { cells, quickCells } from './cells/index.ts'
import { chart } from './chart.ts'
import { contenders, quickContenders } from './contenders/index.ts'
import { describeMachine } from './machine.ts'
import { markdown, type Report } from './report.ts'
import { type CellResult, runCell } from './run-cell.ts'
import { repository } from './runtime-binary.ts'

const usage = `node bench/main.ts [flags]
  --quick             three cells, six contenders, under three minutes
  --cell NAME         only these cells (may be repeated)
  --contender NAME    only these contenders (may be repeated); direct and nginx are what others are compared with
  --repeats N         default 3
  --seconds N         of one measurement; default: as the cell says
  --router DIR        where the router's source is; default: this repository
  --router-flag FLAG  one more flag for the router (may be repeated): --router-flag=--disable-retries
  --out DIR           where the results go; default: bench/results
  --from FILE.json    measure nothing: table and chart of kept results once more
`
const say = (text: string): void => void process.stdout.write(`${text}\n`)

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      cell: { type: 'string', multiple: true },
      contender: { type: 'string', multiple: true },
      repeats: { type: 'string', default: '3' },
      seconds: { type: 'string' },
      router: { type: 'string', default: repository },
      'router-flag': { type: 'string', multiple: true, default: [] },
      out: { type: 'string', default: join(repository, 'bench/results') },
      from: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return say(usage)
  if (values.from !== undefined)
    return save(JSON.parse(readFileSync(values.from, 'utf8')) as Report, resolve(values.out))
  const router = resolve(values.router)
  const everyone = contenders(router, values['router-flag'])
  const chosen = choose(
    everyone,
    values.contender ?? (values.quick ? quickContenders : undefined),
    'contender',
  )
  const chosenCells = choose(cells, values.cell ?? (values.quick ? quickCells : undefined), 'cell')
  const repeats = positive(values.repeats, '--repeats')
  const seconds = values.seconds === undefined ? undefined : positive(values.seconds, '--seconds')
  const machine = describeMachine(router, chosen)
  const directory = mkdtempSync(join(tmpdir(), 'router-bench-'))
  const results: CellResult[] = []
  const started = performance.now()
  try {
    for (const cell of chosenCells) {
      const length = seconds ?? (values.quick ? 2 : cell.seconds)
      results.push(await runCell({ cell, contenders: chosen, repeats, seconds: length, directory, say }))
    }
  } finally {
    const about = Object.fromEntries(chosen.map((contender) => [contender.name, contender.about]))
    if (results.length > 0) save({ machine, repeats, cells: results, about }, resolve(values.out))
    rmSync(directory, { recursive: true, force: true })
  }
  say(`${((performance.now() - started) / 1000).toFixed(0)} s`)
}

function choose<T extends { readonly name: string }>(
  all: readonly T[],
  names: readonly string[] | undefined,
  what: string,
): readonly T[] {
  const unknown = names?.filter((name) => !all.some((one) => one.name === name)) ?? []
  if (unknown.length > 0)
    throw new Error(`no ${what} ${unknown.join(', ')}; there are ${all.map(({ name }) => name).join(', ')}`)
  return all.filter(({ name }) => names?.includes(name) ?? true)
}

function positive(text: string, flag: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`${flag} is a whole number from 1`)
  return value
}

function save(report: Report, directory: string): void {
  mkdirSync(directory, { recursive: true })
  const stem = join(directory, report.machine.date.replace(' ', '-').replace(':', ''))
  const text = markdown(report)
  writeFileSync(`${stem}.md`, text)
  writeFileSync(`${stem}.json`, `${JSON.stringify(report, undefined, 2)}\n`)
  const drawn = chart(report.cells)
  if (drawn !== undefined) writeFileSync(`${stem}.svg`, drawn)
  say(`\n${text}\nsaved as ${stem}.md, .json${drawn === undefined ? '' : ' and .svg'}`)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

try {
  await main()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
