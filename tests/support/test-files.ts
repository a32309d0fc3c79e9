/**
 * Runs test files, each in a process of its own or a few quick ones in one, a few processes at a time.
 *
 * Both runtimes could take all files in one go. Bun then runs them in one process one after the other (146 s for 83 files,
 * against 67 s this way with two lanes on two cores), and what one file leaves behind meets the next. This way both
 * runtimes behave alike, and a file that crashes, hangs or ends its process early costs only itself. A process of its own
 * costs Node a second of CPU until all is imported, most of it the same for all files: 160 quick files took 200 s of CPU
 * each alone, and 50 s in one process.
 */

import { spawn } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Runtime } from './child.ts'
import { type Counts, countsOfJunit, countsOfTap, noCounts } from './test-reports.ts'

export interface FileResult {
  /** Several files in one process: the first and the last of them, and how many they are. */
  readonly file: string
  readonly counts: Counts
  readonly seconds: number
  /** The file failed beside others, and this is its second try, alone. */
  readonly again: boolean
  /** What a person needs to see of a file that failed: the runner's output without the tests that passed. */
  readonly output: string
}

export interface FilesOptions {
  readonly runtime: Runtime
  readonly binary: string
  /** Relative to `cwd`. */
  readonly files: readonly string[]
  readonly cwd: string
  /** A directory for reports. */
  readonly reports: string
  /** Files that run at the same time, default 2; and as many of those that mostly wait, as long as there are any. */
  readonly lanes?: number
  /** Of a file that leaves the machine to others for most of its time. Default: none does. */
  readonly mostlyWaits?: (file: string) => boolean
  /** Milliseconds that a file may take, default 600000; then it is killed and counts as failed. */
  readonly fileMs?: number
  /** Aborted: whatever runs is killed, and nothing more is started. */
  readonly signal?: AbortSignal
  /** `dist` has been built from this very source: programs may be started from there. Default false. */
  readonly built?: boolean
  /** Of a file that starts no program and changes nothing outside of itself: it may share a process. Default: none. */
  readonly isQuick?: (file: string) => boolean
  /**
   * Files that may have a second try, alone and after all others: many tests measure time, and a machine that others use
   * as well stalls. The second try counts. When more files than this fail, the fault is hardly the machine's, and none is
   * tried again. Default 0.
   */
  readonly secondTries?: number
  /** Called as each file ends, first and second tries alike. */
  readonly onResult?: (result: FileResult) => void
}

/** Milliseconds that one test may take. Bun's own default is 5000, Node has none. */
const testMs = 120_000

export async function runTestFiles(options: FilesOptions): Promise<FileResult[]> {
  const { mostlyWaits = () => false, isQuick = () => false, secondTries = 0 } = options
  const alone = options.files.filter((file) => !isQuick(file)).map((file) => [file])
  const quick = inGroups(options.files.filter(isQuick))
  const patient = alone.filter(([file]) => mostlyWaits(file!))
  const busy = alone.filter((files) => !patient.includes(files))
  const results = new Map<string, FileResult>()
  const run = async (files: readonly string[]): Promise<void> => {
    if (options.signal?.aborted) return
    const file = nameOf(files)
    const result = { ...(await runTogether(files, options)), file, again: results.has(file) }
    options.onResult?.(result)
    // Which of them it was is seen when each runs alone, and whether it was only their being together.
    if (files.length > 1 && result.counts.failed > 0) for (const each of files) await run([each])
    else results.set(file, result)
  }
  const lane = async (...queues: (readonly string[])[][]): Promise<void> => {
    const next = () => queues.find(({ length }) => length > 0)?.shift()
    for (let files = next(); files !== undefined; files = next()) await run(files)
  }
  const lanes = Array.from({ length: options.lanes ?? 2 }, () => [lane(busy, quick, patient), lane(patient)])
  await Promise.all(lanes.flat())
  const failed = [...results.values()].filter(({ counts }) => counts.failed > 0).map(({ file }) => [file])
  if (failed.length <= secondTries) await lane(failed)
  return [...results.values()]
}

/** Files in one process: more of them save little more, and one that hangs takes the others with it. */
const groupSize = 12

function inGroups(files: readonly string[]): string[][] {
  const count = Math.ceil(files.length / groupSize)
  return Array.from({ length: count }, (_, at) => files.slice(at * groupSize, (at + 1) * groupSize))
}

function nameOf(files: readonly string[]): string {
  return files.length === 1 ? files[0]! : `${files[0]} ... ${files.at(-1)} (${files.length} files)`
}

type Ran = Pick<FileResult, 'counts' | 'seconds' | 'output'>

async function runTogether(files: readonly string[], options: FilesOptions): Promise<Ran> {
  const { runtime, binary, fileMs = 600_000 } = options
  const report = join(options.reports, `${runtime}-${files[0]!.replaceAll(/[^\w.-]/g, '_')}.report`)
  rmSync(report, { force: true })
  const started = performance.now()
  const args = runtime === 'node' ? nodeArgs(files, report) : bunArgs(files, report)
  const ended = await run(binary, args, options, fileMs)
  const seconds = (performance.now() - started) / 1000
  const counted = (runtime === 'node' ? countsOfTap : countsOfJunit)(readReport(report))
  const problem = problemOf(ended, counted, fileMs)
  const counts = counted ?? noCounts
  return {
    counts: problem === undefined ? counts : { ...counts, failed: counts.failed + 1 },
    seconds,
    output: [failuresIn(ended.output), ...(problem === undefined ? [] : [problem])].join('\n'),
  }
}

/** `node --test` as it is by default starts processes of its own, where a file that calls `process.exit` counts as passed. */
function nodeArgs(files: readonly string[], report: string): string[] {
  const human = ['--test-reporter=spec', '--test-reporter-destination=stdout']
  const machine = ['--test-reporter=tap', `--test-reporter-destination=${report}`]
  const together = files.length > 1 ? ['--test', '--test-isolation=none'] : []
  return [...together, `--test-timeout=${testMs}`, ...human, ...machine, ...files]
}

function bunArgs(files: readonly string[], report: string): string[] {
  const paths = files.map((file) => `./${file}`)
  return ['test', ...paths, `--timeout=${testMs}`, '--reporter=junit', `--reporter-outfile=${report}`]
}

/** `NODE_TEST_*` would make Node talk to a runner above it: so when a test runs this runner. */
function environment({ built = false, reports }: FilesOptions): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(NODE_TEST|FORCE_COLOR$)/.test(name))
  return {
    ...Object.fromEntries(kept),
    // For clients in tests: the router does not use fetch.
    BUN_CONFIG_MAX_HTTP_REQUESTS: '65535',
    // Node strips and compiles the same sources for each file and each router: 0.2 s instead of 0.6 with their cache.
    NODE_COMPILE_CACHE: join(reports, 'compile-cache'),
    NO_COLOR: '1',
    ...(built && { ROUTER_TESTS_BUILT: '1' }),
  }
}

interface Ended {
  readonly how: string
  readonly output: string
}

/** `how` is empty when it ended with code 0. */
function run(binary: string, args: readonly string[], options: FilesOptions, ms: number): Promise<Ended> {
  const { cwd, signal } = options
  return new Promise((resolve) => {
    const child = spawn(binary, args, {
      cwd,
      env: environment(options),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let output = ''
    let reason: string | undefined
    const kill = (why: string): void => {
      reason ??= why
      signalGroup(child.pid, 'SIGTERM')
      // Time for the file to take with it what it started.
      setTimeout(() => signalGroup(child.pid, 'SIGKILL'), 500).unref()
    }
    const timer = setTimeout(() => kill(`did not end within ${ms / 1000} s`), ms)
    const onAbort = (): void => kill('interrupted')
    signal?.addEventListener('abort', onAbort, { once: true })
    for (const pipe of [child.stdout, child.stderr]) {
      pipe.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    }
    const settle = (how: string): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      resolve({ how: reason ?? how, output })
    }
    child.once('error', (error) => settle(error.message))
    child.once('close', (code, by) => settle(code === 0 ? '' : (by ?? `code ${code}`)))
  })
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal)
  } catch {
    // It is gone already.
  }
}

function readReport(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** What went wrong beside the tests that failed. */
function problemOf({ how }: Ended, counts: Counts | undefined, ms: number): string | undefined {
  if (counts === undefined) return `no report: the run ended early (${how || 'code 0'})`
  if (how.startsWith('did not end')) return `the process ${how} (limit ${ms} ms): something keeps it alive`
  if (how !== '' && counts.failed === 0) return `the run ended with ${how} though no test failed`
  if (counts.passed + counts.failed + counts.skipped === 0) return 'the file has no test'
  return undefined
}

function failuresIn(output: string): string {
  const passed =
    /^\s*(✔|﹣|▶|\(pass\)|\(skip\)|\(todo\)|ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) )/
  return output
    .split('\n')
    .filter((line) => !passed.test(line))
    .join('\n')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trim()
}
