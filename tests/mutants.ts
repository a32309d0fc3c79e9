/**
 * Changes the code in small ways, one at a time, and says which changes no test notices: `npm run test:mutants`.
 *
 * node tests/mutants.ts [--room app/relay] [--file app/relay/hold.ts] [--sample 80] [--seed 1]
 *
 * Each mutant lives in a copy of the project and meets the quick tests of its room, on the runtime that runs this
 * program. A mutant that outlives them is a line that can be broken unseen. `--sample` takes that many of the room's
 * mutants, drawn by `--seed`; 0 takes all. Nothing of this runs in `npm test`: a whole room takes the better part of an
 * hour.
 */

import { spawn } from 'node:child_process'
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { seeded } from './support/random.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const say = (line: string): boolean => process.stdout.write(`${line}\n`)

/** The quick tests of a room. */
interface RoomTests {
  /** They run first, in one process: none of them starts a program. */
  readonly own: readonly string[]
  /** Tests of other rooms that go through this one; each file has a process. */
  readonly around: readonly string[]
}

const rooms: Readonly<Record<string, RoomTests>> = {
  'app/relay': { own: ['app/relay/*', 'policies/resilience/retry'], around: ['failures/silence'] },
  'app/workers': {
    own: [
      ...['app/workers/*', 'app/workers/discovery/registry', 'app/relay/relay', 'app/telemetry/observer'],
      ...['app/processes/words', 'policies/selection/contract'],
    ],
    around: ['e2e/worker-cap', 'failures/health-hung-engine', 'failures/health-silent-probes'],
  },
  policies: { own: ['policies/**/*'], around: [] },
  middleware: { own: ['middleware/*', 'policies/limits/*'], around: [] },
}

/** What is looked for on a line without its strings and comments, and what stands there instead. */
const operators: readonly (readonly [RegExp, string])[] = [
  [/ === /g, ' !== '],
  [/ !== /g, ' === '],
  [/ < /g, ' <= '],
  [/ <= /g, ' < '],
  [/ > /g, ' >= '],
  [/ >= /g, ' > '],
  [/ && /g, ' || '],
  [/ \|\| /g, ' && '],
  [/ \+ /g, ' - '],
  [/ - /g, ' + '],
  [/ \+= /g, ' -= '],
  [/\btrue\b/g, 'false'],
  [/\bfalse\b/g, 'true'],
  [/\bif \((?!false)/g, 'if (false && '],
  [/\bif \(!/g, 'if ('],
  [/^(\s+)(?:await |void )?[\w.#?]+\([^=]*\)$/g, '$1;'],
  [/^(\s+)[\w#]+\.[\w.#]+ = [^=>]+$/g, '$1;'],
  // Not of what is as good as undefined.
  [/\breturn (?!undefined|false)[^({[]+$/g, 'return undefined as never'],
  [/\bMath\.min\(/g, 'Math.max('],
  [/\bMath\.max\(/g, 'Math.min('],
]

interface Mutant {
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly before: string
  readonly after: string
}

/** Strings become as many underscores, comments go: nothing in them is code. */
function masked(line: string): string {
  if (/^\s*(\*|\/\*|\/\/|\||import |export type|readonly |interface |type )/.test(line)) return ''
  return line
    .replace(/'(?:[^'\\]|\\.)*'|`[^`$]*`/g, (text) => '_'.repeat(text.length))
    .replace(/\s+\/\/ .*$/, '')
}

function mutantsOf(file: string): Mutant[] {
  const lines = readFileSync(join(root, file), 'utf8').split('\n')
  const code = codeOf(lines)
  return changesOf(file, lines).filter(({ line, after }) => {
    const mutated = codeOf(lines.with(line - 1, after))
    return mutated !== undefined && mutated !== code
  })
}

/** What is left of a file when it runs, without its types; undefined where it cannot run. */
function codeOf(lines: readonly string[]): string | undefined {
  try {
    return stripTypeScriptTypes(lines.join('\n')).replace(/\s+/g, ' ')
  } catch {
    return undefined
  }
}

function changesOf(file: string, lines: readonly string[]): Mutant[] {
  return lines.flatMap((before, index) => {
    const code = masked(before)
    return operators.flatMap(([pattern, replacement]) =>
      [...code.matchAll(pattern)].map((match) => {
        const { index: at, 0: found } = match
        const put = found.replace(new RegExp(pattern.source), replacement)
        const after = before.slice(0, at) + put + before.slice(at + found.length)
        return { file, line: index + 1, before: before.trim(), after: after.trim() }
      }),
    )
  })
}

function draw(all: readonly Mutant[], count: number, seed: number): Mutant[] {
  const random = seeded(seed)
  const drawn = all.map((mutant) => ({ mutant, at: random() })).toSorted((a, b) => a.at - b.at)
  return (count === 0 ? drawn : drawn.slice(0, count)).map(({ mutant }) => mutant)
}

/** `killed` by an assertion or an error; `hung` when the tests did not end. */
type Fate = 'killed' | 'hung' | 'survived'

async function fateOf(mutant: Mutant, copy: string, suite: RoomTests, limitMs: number): Promise<Fate> {
  const path = join(copy, mutant.file)
  const text = readFileSync(path, 'utf8')
  const lines = text.split('\n')
  const old = lines[mutant.line - 1] ?? ''
  lines[mutant.line - 1] = old.slice(0, old.length - old.trimStart().length) + mutant.after
  writeFileSync(path, lines.join('\n'))
  const fate = await run(suite, copy, limitMs)
  writeFileSync(path, text)
  return fate
}

async function run({ own, around }: RoomTests, copy: string, limitMs: number): Promise<Fate> {
  const fate = await runFiles(own, ['--test-isolation=none'], copy, limitMs)
  if (fate !== 'survived' || around.length === 0) return fate
  return runFiles(around, ['--test-concurrency=1'], copy, limitMs)
}

/** A loop without an end may allocate without an end, and would take the machine with it: it counts as hung. */
const memory = ['--max-old-space-size=2048']
const outOfMemory = 'SIGABRT'

const lateWords = /test timed out|cancelledByParent/

/** The first failure ends the run, unless it is a test that did not end: another one may still fail. */
function runFiles(
  files: readonly string[],
  options: readonly string[],
  cwd: string,
  limitMs: number,
): Promise<Fate> {
  const args = [...memory, '--test', '--test-timeout=60000', '--test-reporter=tap', ...options, ...files]
  const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'ignore'], detached: true })
  const onExit = (): void => signalGroup(child.pid, 'SIGKILL')
  process.once('exit', onExit)
  let out = ''
  let late = false
  const timer = setTimeout(() => {
    late = true
    endGroup(child.pid)
  }, limitMs)
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
    // The failure and its details, down to their last line.
    if (/^ *not ok [\s\S]*?^ *\.\.\.$/m.test(out) && !lateWords.test(out)) endGroup(child.pid)
  })
  return new Promise((resolve) => {
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      process.off('exit', onExit)
      late ||= lateWords.test(out) || signal === outOfMemory
      resolve(code === 0 ? 'survived' : late && !/ERR_ASSERTION/.test(out) ? 'hung' : 'killed')
    })
  })
}

/** SIGTERM first: it gives the tests time to end what they have started. */
function endGroup(pid: number | undefined): void {
  signalGroup(pid, 'SIGTERM')
  setTimeout(() => signalGroup(pid, 'SIGKILL'), 500)
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal)
  } catch {
    // It is gone already.
  }
}

function testFiles(names: readonly string[]): string[] {
  return names.flatMap((name) => globSync(`tests/${name}.test.ts`, { cwd: root }).sort())
}

/** What the tests run and read. */
const copied = 'app docs http middleware policies sim tests package.json tsconfig.json'.split(' ')

/** It is gone when this program ends. */
function copyOfProject(): string {
  const copy = mkdtempSync(join(tmpdir(), 'vllm-router-mutants-'))
  process.once('exit', () => rmSync(copy, { recursive: true, force: true }))
  for (const name of copied) cpSync(join(root, name), join(copy, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      room: { type: 'string', default: 'app/relay' },
      file: { type: 'string' },
      sample: { type: 'string', default: '80' },
      seed: { type: 'string', default: '1' },
    },
  })
  const { room } = values
  const tests = rooms[room]
  if (tests === undefined) throw new Error(`--room is one of ${Object.keys(rooms).join(', ')}`)
  const suite = { own: testFiles(tests.own), around: testFiles(tests.around) }
  const files = values.file === undefined ? globSync(`${room}/**/*.ts`, { cwd: root }).sort() : [values.file]
  const all = files.filter((file) => !/discovery|schemas/.test(file)).flatMap(mutantsOf)
  const mutants = draw(all, Number(values.sample), Number(values.seed))
  say(
    `${room}: ${mutants.length} of ${all.length} mutants, against ${suite.own.length + suite.around.length} files`,
  )

  const counts: Record<Fate, number> = { killed: 0, hung: 0, survived: 0 }
  const next = mutants.values()
  const lanes = Array.from({ length: Math.min(2, availableParallelism()) }, async () => {
    const copy = copyOfProject()
    const startedAt = performance.now()
    if ((await run(suite, copy, 600_000)) !== 'survived')
      throw new Error(`a test fails on the code as it is, or does not end: npm test -- ${room}`)
    // Five times as long as without a mutant: other work on the machine is no loop without an end.
    const limitMs = Math.max(60_000, 5 * (performance.now() - startedAt))
    for (const mutant of next) {
      const fate = await fateOf(mutant, copy, suite, limitMs)
      counts[fate] += 1
      if (fate !== 'killed')
        say(`${fate} ${mutant.file}:${mutant.line}\n  - ${mutant.before}\n  + ${mutant.after}`)
    }
  })
  await Promise.all(lanes)
  const score = ((100 * (counts.killed + counts.hung)) / mutants.length).toFixed(0)
  say(`${counts.killed} killed, ${counts.hung} hung, ${counts.survived} survived: ${score}%`)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
await main()
