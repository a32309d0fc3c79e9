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

import { execFile } from 'node:child_process'
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { seeded } from './support/random.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const say = (line: string): boolean => process.stdout.write(`${line}\n`)

/** The tests of each room that take seconds: its own folder, and what else goes through it. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  'app/relay': ['app/relay/*', 'failures/silence', 'policies/resilience/retry'],
  'app/workers': [
    ...['app/workers/*', 'app/workers/discovery/registry', 'app/relay/relay', 'app/telemetry/observer'],
    ...['app/processes/words', 'policies/selection/contract', 'e2e/worker-cap'],
    ...['failures/health-hung-engine', 'failures/health-silent-probes'],
  ],
  policies: ['policies/**/*'],
  middleware: ['middleware/*', 'policies/limits/*'],
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
  return lines.flatMap((before, index) => {
    const code = masked(before)
    return operators.flatMap(([pattern, replacement]) =>
      [...code.matchAll(pattern)].map((match) => {
        const { index: at, 0: found } = match
        const put = found.replace(new RegExp(pattern.source), replacement)
        // A signature is no code: its types are gone when it runs.
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

function fateOf(mutant: Mutant, copy: string, tests: readonly string[]): Promise<Fate> {
  const path = join(copy, mutant.file)
  const text = readFileSync(path, 'utf8')
  const lines = text.split('\n')
  const old = lines[mutant.line - 1] ?? ''
  lines[mutant.line - 1] = old.slice(0, old.length - old.trimStart().length) + mutant.after
  writeFileSync(path, lines.join('\n'))
  const args = ['--test', '--test-timeout=20000', '--test-concurrency=1', '--test-reporter=tap', ...tests]
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: copy, timeout: 90_000, killSignal: 'SIGKILL' }, (error, out) => {
      writeFileSync(path, text)
      const late = error?.killed === true || /test timed out|cancelledByParent/.test(out)
      resolve(error === null ? 'survived' : late && !/ERR_ASSERTION/.test(out) ? 'hung' : 'killed')
    })
  })
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
  const names = rooms[room]
  if (names === undefined) throw new Error(`--room is one of ${Object.keys(rooms).join(', ')}`)
  const tests = names.flatMap((name) => globSync(`tests/${name}.test.ts`, { cwd: root })).sort()
  const files = values.file === undefined ? globSync(`${room}/**/*.ts`, { cwd: root }).sort() : [values.file]
  const all = files.filter((file) => !/discovery|schemas/.test(file)).flatMap(mutantsOf)
  const mutants = draw(all, Number(values.sample), Number(values.seed))
  say(`${room}: ${mutants.length} of ${all.length} mutants, against ${tests.length} files`)

  const counts: Record<Fate, number> = { killed: 0, hung: 0, survived: 0 }
  const next = mutants.values()
  const lanes = Array.from({ length: Math.min(2, availableParallelism()) }, async () => {
    const copy = mkdtempSync(join(tmpdir(), 'vllm-router-mutants-'))
    try {
      for (const name of [
        'app',
        'http',
        'middleware',
        'policies',
        'sim',
        'tests',
        'package.json',
        'tsconfig.json',
      ])
        cpSync(join(root, name), join(copy, name), { recursive: true })
      symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
      for (const mutant of next) {
        const fate = await fateOf(mutant, copy, tests)
        counts[fate] += 1
        if (fate !== 'killed')
          say(`${fate} ${mutant.file}:${mutant.line}\n  - ${mutant.before}\n  + ${mutant.after}`)
      }
    } finally {
      rmSync(copy, { recursive: true, force: true })
    }
  })
  await Promise.all(lanes)
  const score = ((100 * (counts.killed + counts.hung)) / mutants.length).toFixed(0)
  say(`${counts.killed} killed, ${counts.hung} hung, ${counts.survived} survived: ${score}%`)
}

await main()
