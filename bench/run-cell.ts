import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Cell, LoadPlace, Sample } from './cells/cell.ts'
import type { Contender, RunningContender } from './contenders/contender.ts'
import type { WorkerFleet } from './workers/worker-fleet.ts'

export interface CellRun {
  readonly cell: Cell
  readonly contenders: readonly Contender[]
  readonly repeats: number
  readonly seconds: number
  readonly directory: string
  readonly say: (line: string) => void
}

export interface CellResult {
  readonly cell: string
  readonly about: string
  readonly unit: Cell['unit']
  readonly rows: readonly Row[]
}

/** One contender: a sample for each repeat, or why there is none. */
export interface Row {
  readonly contender: string
  readonly samples: readonly Sample[]
  readonly missing?: string
}

/** Measures all contenders in turn, several times over: A B C A B C, so that a machine's moods meet all alike. */
export async function runCell(run: CellRun): Promise<CellResult> {
  const { cell, say } = run
  const directory = join(run.directory, cell.name)
  mkdirSync(directory, { recursive: true })
  const wanted = run.contenders.filter(({ name }) => cell.only?.(name) ?? true)
  say(`${cell.name}: ${cell.about}`)
  await using stack = new AsyncDisposableStack()
  const workers = await cell.startWorkers(directory)
  stack.defer(() => workers.process.stop())
  const place = { workers, directory, seconds: run.seconds }
  const rows = cell.fresh
    ? await measureAlone(run, wanted, place)
    : await measureTogether(run, wanted, place, stack)
  return { cell: cell.name, about: cell.about, unit: cell.unit, rows }
}

type CellPlace = Omit<LoadPlace, 'target'>

/** All contenders run all the time and have load one after the other. */
async function measureTogether(
  { cell, repeats, say }: CellRun,
  contenders: readonly Contender[],
  place: CellPlace,
  stack: AsyncDisposableStack,
): Promise<Row[]> {
  const running = new Map<string, RunningContender>()
  const rows = new Map<string, { samples: Sample[]; missing?: string }>()
  for (const contender of contenders) {
    const row = { samples: [] }
    rows.set(contender.name, row)
    const started = await startContender(contender, place)
    if ('missing' in started) {
      rows.set(contender.name, { samples: [], missing: started.missing })
      say(`  ${contender.name}: ${started.missing}`)
      continue
    }
    running.set(contender.name, started)
    if (started.process !== undefined) stack.defer(started.process.stop)
    if (!contender.native) await cell.warm?.({ ...place, target: started })
  }
  for (let repeat = 1; repeat <= repeats; repeat++) {
    for (const [name, target] of running) {
      const sample = checked(await cell.measure({ ...place, target }), cell, name)
      rows.get(name)?.samples.push(sample)
      say(`  ${repeat}/${repeats} ${name}: ${brief(sample, cell)}`)
    }
  }
  return [...rows].map(([contender, row]) => ({ contender, ...row }))
}

/** Each contender is started for each measurement and ends after it: its memory is that of this load alone. */
async function measureAlone(
  { cell, repeats, say }: CellRun,
  contenders: readonly Contender[],
  place: CellPlace,
): Promise<Row[]> {
  const rows = contenders.map(({ name }) => ({ contender: name, samples: [] as Sample[], missing: '' }))
  for (let repeat = 1; repeat <= repeats; repeat++) {
    for (const [index, contender] of contenders.entries()) {
      const row = rows[index]
      if (row === undefined || row.missing !== '') continue
      const started = await startContender(contender, place)
      if ('missing' in started) {
        row.missing = started.missing
        say(`  ${contender.name}: ${started.missing}`)
        continue
      }
      try {
        const sample = checked(await cell.measure({ ...place, target: started }), cell, contender.name)
        row.samples.push(sample)
        say(`  ${repeat}/${repeats} ${contender.name}: ${brief(sample, cell)}`)
      } finally {
        await started.process?.stop()
      }
    }
  }
  return rows.map(({ missing, ...row }) => (missing === '' ? row : { ...row, missing }))
}

async function startContender(
  contender: Contender,
  { workers, directory }: { workers: WorkerFleet; directory: string },
): Promise<RunningContender | { missing: string }> {
  if (contender.version() === undefined) return { missing: 'not installed' }
  try {
    return await contender.start({ workers: workers.hosts, directory })
  } catch (error) {
    return { missing: `did not start: ${(error as Error).message.trim()}` }
  }
}

function checked(sample: Sample, cell: Cell, contender: string): Sample {
  if (sample.wrongAnswer !== undefined)
    throw new Error(`${cell.name}, ${contender}: a wrong answer: ${sample.wrongAnswer}`)
  if (sample.units === 0) throw new Error(`${cell.name}, ${contender}: no ${cell.unit} came through`)
  return sample
}

function brief({ cpuMs, units, seconds, errors, fault = '' }: Sample, { unit }: Cell): string {
  const cost = ((cpuMs * 1000) / units).toFixed(1)
  return `${cost} us a ${unit}, ${Math.round(units / seconds)} ${unit}s/s${errors > 0 ? `, ${errors} ERRORS ${fault}` : ''}`
}
