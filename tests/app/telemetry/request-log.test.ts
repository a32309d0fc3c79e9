/** The line on a finished request is made in a shortcut: it must be the line that pino would have written. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startProgram } from '../../support/child.ts'
import { within } from '../../support/deadline.ts'

test('the shortcut writes what pino writes, time excepted', async (t) => {
  const program = startProgram({ file: 'tests/support/log-program.ts', args: [], t })
  await within(10_000, program.exited, 'the end of the program')
  const time = /"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/
  const lines = program.lines().map((line) => line.replace(time, '"time":""'))
  assert.equal(lines.length, 4, program.stderr())
  assert.equal(lines[1], lines[0])
  assert.equal(lines[3], lines[2])
  assert.match(lines[3] ?? '', /"time":"","process":2,"request_id"/)
})

test('a disk that is full costs the lines, not the process', { timeout: 20_000 }, async () => {
  const full = openSync('/dev/full', 'w')
  const program = fileURLToPath(new URL('../../support/log-full-program.ts', import.meta.url))
  const child = spawn(process.execPath, [program], { stdio: ['ignore', full, 'pipe'] })
  closeSync(full)
  const exited = new Promise((resolve) => child.once('exit', resolve))
  const said = await within(
    10_000,
    text(child.stderr as NonNullable<typeof child.stderr>),
    'the end of the program',
  )
  assert.deepEqual([await exited, said], [0, 'alive'])
})
