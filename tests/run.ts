/**
 * All checks of the project, in order: `npm test`. The last line is `N passed, N failed` over all of them.
 *
 * node tests/run.ts [--only static|node|bun] [--only-soak] [part of a file name ...]
 *
 * `--only-soak` takes the files that have a long form, one at a time since they measure: `npm run test:soak`.
 */

import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Runtime, runtimeBinary } from './support/child.ts'
import { type FileResult, runTestFiles } from './support/test-files.ts'
import { type Counts, noCounts, sum, wordsOf } from './support/test-reports.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const page = 'app/operations/page'
const parts = ['static', 'node', 'bun'] as const
type Part = (typeof parts)[number]

const checks = [
  { name: 'build', command: ['tsc', '-p', 'tsconfig.build.json'] },
  { name: 'format and lint', command: ['biome', 'ci', '--colors=off', '.'] },
  { name: 'types', command: ['tsc', '--noEmit'] },
  { name: 'types of the page', command: ['tsc', '--noEmit', '-p', 'tsconfig.page.json'] },
] as const

/**
 * They judge files of the project, or what a browser makes of the page: once is enough. Asked for by name, they run on
 * either runtime.
 */
const alikeOnBoth =
  /^tests\/((bench|docs|house|k8s)\/(?!examples|library|package|image-run|monitoring-prometheus)[\w-]+|e2e\/page-(looks|drills|use))\.test\.ts$/

/**
 * Grace times, watches, scrapes, silences: they take long, and less than half of one core, and have lanes of their own.
 */
const mostlyWaits = new RegExp(
  `^tests/(${[
    'k8s/(image-run|monitoring-prometheus)',
    'app/(cli/(doctor|live|top)|gateway/(reload|usage)|processes/(crash|drain|dry-run|limits|processes|reload))',
    'app/workers/discovery/(churn|kubernetes|traffic)',
    'e2e/(audit|first-probes|long-hold|nothing-told|open-files|page-(looks|routes|use)|rate-limit|reload-process)',
    'e2e/(signals|tenant-limits|tls-process|traces)',
    'failures/(busy|cancel-(phases|waiting)|client-fault|drain-(signal|stall)|half-open|hang|health-silent-probes)',
    'failures/(late|let-go|line|matrix-clients|silence|traces)',
  ].join('|')})\\.test\\.ts$`,
)

/** Rooms whose tests mostly call functions, and how a file is known that starts programs all the same, or measures. */
const quickRooms =
  /^tests\/(http|middleware|policies|app\/(api|config|operations|relay|request|telemetry|upstream|usage|workers))\/(?!discovery)/
const startsPrograms =
  /router-process|router-over|support\/child|fault-fleet|spawn|chromium|redis-server|support\/soak/

const say = (line: string): boolean => process.stdout.write(`${line}\n`)
const took = (started: number): string => `${((performance.now() - started) / 1000).toFixed(1)} s`

async function main(): Promise<Counts> {
  const { values, positionals } = parseArgs({
    options: { only: { type: 'string' }, 'only-soak': { type: 'boolean', default: false } },
    allowPositionals: true,
  })
  const soak = values['only-soak']
  const only = parts.find((part) => part === values.only)
  if (values.only !== undefined && only === undefined) throw new Error(`--only is one of ${parts.join(', ')}`)
  const wanted = (part: Part): boolean =>
    only === part || (only === undefined && (part !== 'static' || (positionals.length === 0 && !soak)))
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())

  const counts: Counts[] = []
  // What is left of files that are gone would be packed and published.
  if (wanted('static')) rmSync(join(root, 'dist'), { recursive: true, force: true })
  if (wanted('static')) for (const check of checks) counts.push(await runCheck(check, stop.signal))
  const built = counts[0]?.passed === 1
  // As `npm run build` does it after the compiler.
  if (built) cpSync(join(root, page), join(root, 'dist', page), { recursive: true })
  for (const runtime of ['node', 'bun'] as const) {
    if (!wanted(runtime)) continue
    const files = testFiles(positionals)
      .filter((file) => !soak || hasLongForm(file))
      .filter(
        (file) => runtime === 'node' || positionals.length > 0 || only === 'bun' || !alikeOnBoth.test(file),
      )
    const whole = positionals.length === 0 && !soak
    const lanes = soak ? 1 : 2
    counts.push(await runTests({ runtime, files, signal: stop.signal, lanes, whole, built }))
  }
  return stop.signal.aborted ? sum([...counts, { ...noCounts, failed: 1 }]) : sum(counts)
}

/** A step that passes or fails as a whole: one check. */
async function runCheck({ name, command }: (typeof checks)[number], signal: AbortSignal): Promise<Counts> {
  if (signal.aborted) return noCounts
  const started = performance.now()
  const [program, ...args] = command
  const bin = join(root, 'node_modules', '.bin')
  const env = { ...process.env, NO_COLOR: '1', PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` }
  const output: string[] = []
  const code = await new Promise<number | string>((resolve) => {
    const child = spawn(join(bin, program), args, {
      cwd: root,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
    })
    for (const pipe of [child.stdout, child.stderr])
      pipe.setEncoding('utf8').on('data', (text: string) => output.push(text))
    child.once('error', (error) => resolve(error.message))
    child.once('close', (exit, by) => resolve(exit ?? by ?? 'no exit code'))
  })
  const passed = code === 0
  say(`${passed ? 'ok    ' : 'FAILED'} ${name} (${took(started)})`)
  if (!passed) say(`${output.join('').trim()}\n${command.join(' ')} ended with ${code}\n`)
  return passed ? { ...noCounts, passed: 1 } : { ...noCounts, failed: 1 }
}

interface TestRun {
  readonly runtime: Runtime
  readonly files: readonly string[]
  readonly signal: AbortSignal
  readonly lanes: number
  /** All files of the runtime. */
  readonly whole: boolean
  readonly built: boolean
}

async function runTests({ runtime, files, signal, lanes, whole, built }: TestRun): Promise<Counts> {
  const started = performance.now()
  const reports = mkdtempSync(join(tmpdir(), 'router-tests-'))
  say(`\ntests on ${runtime}: ${files.length} files`)
  try {
    const options = {
      runtime,
      binary: runtimeBinary(runtime),
      files,
      cwd: root,
      reports,
      signal,
      lanes,
      // Long forms measure: one at a time.
      mostlyWaits: (file: string) => lanes > 1 && mostlyWaits.test(file),
      isQuick: (file: string) => lanes > 1 && quickRooms.test(file) && !startsPrograms.test(textOf(file)),
      built,
      // Who asks for some files, or for long forms, wants to see what comes of them.
      secondTries: whole ? 8 : 0,
      onResult: sayResult,
    }
    const results = await runTestFiles(options)
    const counts = sum(results.map((result) => result.counts))
    const again = results.filter((result) => result.again && result.counts.failed === 0)
    for (const { file } of again)
      say(`${file} failed beside other files, and passed alone: look at its first try`)
    say(`tests on ${runtime}: ${wordsOf(counts)} (${took(started)})`)
    return counts
  } finally {
    rmSync(reports, { recursive: true, force: true })
  }
}

function sayResult({ file, counts, seconds, again, output }: FileResult): void {
  const mark = counts.failed === 0 ? 'ok    ' : 'FAILED'
  say(`  ${mark} ${file}: ${wordsOf(counts)} (${seconds.toFixed(1)} s${again ? ', second try, alone' : ''})`)
  if (counts.failed > 0) say(`${output.replaceAll(/^/gm, '    ')}\n`)
}

function testFiles(filters: readonly string[]): string[] {
  return readdirSync(join(root, 'tests'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => `tests/${file.replaceAll('\\', '/')}`)
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .toSorted()
}

function hasLongForm(file: string): boolean {
  return textOf(file).includes("support/soak.ts'")
}

function textOf(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

try {
  const counts = await main()
  if (counts.passed + counts.failed === 0) say('no test ran')
  process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0
  say(`\n${wordsOf(counts)}`)
} catch (error) {
  process.exitCode = 1
  say(`${error instanceof Error ? error.message : String(error)}\n\n0 passed, 1 failed`)
}
