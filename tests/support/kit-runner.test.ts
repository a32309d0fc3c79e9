/** The runner of all tests counts truly, whatever a test file does. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { runtimeBinary } from './child.ts'
import { runTestFiles } from './test-files.ts'
import { countsOfJunit, countsOfTap, sum, wordsOf } from './test-reports.ts'

const importTest = `import { test, describe, before, after } from 'node:test'\n`

/** A test file, and [passed, failed, skipped] on Node and on Bun; one row when both agree. */
const cases: Readonly<
  Record<string, { source: string; node: readonly number[]; bun?: readonly number[]; says?: RegExp }>
> = {
  fine: { source: `test('a', () => {}); describe('d', () => test('b', () => {}))`, node: [2, 0, 0] },
  skips: {
    source: `test('a', () => {}); test('s', { skip: true }, () => {}); test('t', { todo: true }, () => {})`,
    node: [1, 0, 2],
  },
  fails: {
    source: `test('a', () => {}); test('b', () => { throw new Error('the reason') })`,
    node: [1, 1, 0],
    says: /the reason/,
  },
  'fails-inside': {
    source: `test('a', async (t) => { await t.test('b', () => { throw new Error('inner') }) })`,
    node: [0, 2, 0],
    bun: [0, 1, 0],
    says: /inner/,
  },
  'crashes-at-import': { source: `throw new Error('boom')`, node: [0, 1, 0], says: /boom/ },
  'exits-early': {
    source: `test('a', () => {}); test('b', () => process.exit(0)); test('c', () => {})`,
    node: [0, 1, 0],
    says: /no report/,
  },
  'is-killed': {
    source: `test('a', () => process.kill(process.pid, 'SIGKILL'))`,
    node: [0, 1, 0],
    says: /SIGKILL/,
  },
  'throws-later': {
    source: `setTimeout(() => { throw new Error('late') }, 5); test('a', () => new Promise((r) => setTimeout(r, 30)))`,
    node: [1, 1, 0],
    bun: [0, 1, 0],
    says: /late/,
  },
  'hook-fails': {
    source: `test('a', () => {}); after(() => { throw new Error('hook') })`,
    node: [1, 1, 0],
    says: /hook/,
  },
  'has-no-test': { source: `export const a = 1`, node: [0, 1, 0], says: /no report|no test/ },
  hangs: {
    source: `test('a', () => new Promise(() => setInterval(() => {}, 1000)))`,
    node: [0, 1, 0],
    says: /did not end within 1.5 s|no report/,
  },
}

/** Bun's own limit of 5 s is too short for processes that start processes on a busy machine. */
const timeLimit = { timeout: 60_000 }

describe('the runner of the tests', () => {
  for (const runtime of ['node', 'bun'] as const) {
    test(`on ${runtime}, counts every way in which a file can end`, timeLimit, async (t) => {
      const cwd = mkdtempSync(join(tmpdir(), 'runner-'))
      t.after(() => rmSync(cwd, { recursive: true, force: true }))
      for (const [name, { source }] of Object.entries(cases)) {
        writeFileSync(join(cwd, `${name}.test.mjs`), importTest + source)
      }
      const results = await runTestFiles({
        runtime,
        binary: runtimeBinary(runtime),
        files: Object.keys(cases).map((name) => `${name}.test.mjs`),
        cwd,
        reports: cwd,
        lanes: 4,
        fileMs: 1500,
      })
      for (const { file, counts, output } of results) {
        const { node, bun = node, says = /^/ } = cases[file.replace('.test.mjs', '')] ?? { node: [] }
        const { passed, failed, skipped } = counts
        assert.deepEqual([passed, failed, skipped], runtime === 'node' ? node : bun, `${file}: ${output}`)
        assert.match(output, says, file)
        assert.doesNotMatch(output, /✔|\(pass\)/)
      }
      assert.equal(results.length, Object.keys(cases).length)
    })
  }

  test(
    'a file that failed beside others has a second try, alone, and that one counts',
    timeLimit,
    async (t) => {
      const cwd = mkdtempSync(join(tmpdir(), 'runner-'))
      t.after(() => rmSync(cwd, { recursive: true, force: true }))
      const write = (name: string, body: string) =>
        writeFileSync(
          join(cwd, name),
          `${importTest}import { existsSync, writeFileSync } from 'node:fs'\n${body}`,
        )
      write(
        'stalls.test.mjs',
        `test('a', () => {
        const before = existsSync('tried')
        writeFileSync('tried', '')
        if (!before) throw new Error('late')
      })`,
      )
      write('fails.test.mjs', `test('a', () => { throw new Error('wrong') })`)
      write('fine.test.mjs', `test('a', () => {})`)
      const tried: string[] = []
      const run = async (secondTries: number) =>
        await runTestFiles({
          runtime: 'node',
          binary: runtimeBinary('node'),
          files: ['stalls.test.mjs', 'fails.test.mjs', 'fine.test.mjs'],
          cwd,
          reports: cwd,
          secondTries,
          onResult: ({ file, counts, again }) =>
            tried.push(`${file}: ${counts.failed}${again ? ' again' : ''}`),
        })
      const outcome = (results: Awaited<ReturnType<typeof run>>) =>
        results
          .map(({ file, counts, again }) => `${file}: ${counts.failed}${again ? ' again' : ''}`)
          .toSorted()
      assert.deepEqual(outcome(await run(2)), [
        'fails.test.mjs: 1 again',
        'fine.test.mjs: 0',
        'stalls.test.mjs: 0 again',
      ])
      assert.equal(tried.length, 5)
      rmSync(join(cwd, 'tried'))
      assert.deepEqual(outcome(await run(1)), ['fails.test.mjs: 1', 'fine.test.mjs: 0', 'stalls.test.mjs: 1'])
    },
  )

  for (const runtime of ['node', 'bun'] as const) {
    test(
      `on ${runtime}, quick files share a process, and each runs alone when one of them fails`,
      timeLimit,
      async (t) => {
        const cwd = mkdtempSync(join(tmpdir(), 'runner-'))
        t.after(() => rmSync(cwd, { recursive: true, force: true }))
        const write = (name: string, source: string) => writeFileSync(join(cwd, name), importTest + source)
        write('a.test.mjs', `test('a', () => {}); test('c', () => {})`)
        write('b.test.mjs', `test('b', () => {})`)
        const run = async () => {
          const said: string[] = []
          const results = await runTestFiles({
            runtime,
            binary: runtimeBinary(runtime),
            files: ['a.test.mjs', 'b.test.mjs'],
            cwd,
            reports: cwd,
            isQuick: () => true,
            onResult: ({ file, counts }) => said.push(`${file}: ${wordsOf(counts)}`),
          })
          return { said, counts: sum(results.map(({ counts }) => counts)) }
        }
        const together = 'a.test.mjs ... b.test.mjs (2 files)'
        assert.deepEqual(await run(), {
          said: [`${together}: 3 passed, 0 failed`],
          counts: { passed: 3, failed: 0, skipped: 0 },
        })
        write('b.test.mjs', `test('b', () => { throw new Error('the reason') })`)
        assert.deepEqual(await run(), {
          said: [
            `${together}: 2 passed, 1 failed`,
            'a.test.mjs: 2 passed, 0 failed',
            'b.test.mjs: 0 passed, 1 failed',
          ],
          counts: { passed: 2, failed: 1, skipped: 0 },
        })
        write('b.test.mjs', `test('b', () => process.exit(0))`)
        assert.deepEqual((await run()).counts, { passed: 2, failed: 1, skipped: 0 })
      },
    )
  }

  test('the last line has the sum, and the exit code says whether all is well', timeLimit, async () => {
    const npmTest = async (...args: readonly string[]) => {
      const child = spawn(runtimeBinary('node'), ['tests/run.ts', ...args], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      let output = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
      const code = await new Promise((resolve) => child.once('close', resolve))
      return [code, output.trimEnd().split('\n').at(-1)]
    }
    const [code, last] = await npmTest('--only', 'bun', 'kit-line')
    assert.match(String(last), /^[1-9]\d* passed, 0 failed$/)
    assert.equal(code, 0)
    assert.deepEqual(await npmTest('--only', 'node', 'no such file'), [1, '0 passed, 0 failed'])
    assert.deepEqual(await npmTest('--no-such-flag'), [1, '0 passed, 1 failed'])
  })

  test('adds up, and says so in one line', () => {
    const all = sum([
      { passed: 1, failed: 0, skipped: 0 },
      { passed: 2, failed: 3, skipped: 1 },
    ])
    assert.equal(wordsOf(all), '3 passed, 3 failed, 1 skipped')
    assert.equal(wordsOf({ passed: 1, failed: 0, skipped: 0 }), '1 passed, 0 failed')
  })

  test('takes half a report for none', () => {
    assert.equal(countsOfTap('TAP version 13\nok 1 - a\n'), undefined)
    assert.equal(countsOfJunit('<testsuites tests="1" failures="0" skipped="0">'), undefined)
    assert.equal(countsOfJunit(''), undefined)
  })
})
