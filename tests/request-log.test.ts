/** The line on a finished request is made in a shortcut: it must be the line that pino would have written. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startProgram } from './support/child.ts'
import { within } from './support/deadline.ts'

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
