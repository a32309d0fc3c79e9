/** Whoever reads the log may stop for a while: that costs lines, counted ones, and holds nothing up. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { requestLine } from '../../../app/telemetry/people-lines.ts'
import { eventually, within } from '../../support/deadline.ts'

const program = fileURLToPath(new URL('../../support/log-stopped-program.ts', import.meta.url))

test('lines that nobody reads are dropped and counted, and said when he reads again', {
  timeout: 30_000,
}, async (t) => {
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  const [said] = (await within(20_000, once(child.stderr, 'data'), 'the end of the lines')) as [Buffer]
  const { lines, dropped, worstMs } = JSON.parse(said.toString()) as Record<string, number>
  assert.ok(dropped !== undefined && dropped > 0)
  assert.ok(worstMs !== undefined && worstMs < 500, `a hundred lines took ${worstMs} ms`)
  let out = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  await eventually(() => out.includes('log lines were dropped'), { what: 'a word on the lost lines' })
  child.kill('SIGTERM')
  await within(5000, once(child, 'close'), 'the end of the program')
  const read = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  const kept = read.filter(({ line }) => line !== undefined)
  assert.equal(kept.length + dropped, lines)
  assert.deepEqual(
    read.filter((line) => line.dropped !== undefined).map((line) => line.dropped),
    [dropped],
  )
})

test('a person reads one short line on a request', () => {
  const fields = { status: 200, duration_ms: 1312.5, route: '/v1/chat/completions', end_reason: 'completed' }
  const more = {
    stream: true,
    worker_id: 'c4451f0a9b21',
    attempts: 1,
    prompt_tokens: 3,
    completion_tokens: 20,
  }
  assert.equal(requestLine({ ...fields, ...more }), '200 1.3s chat stream w=c445 3/20 tok')
  const failed = { status: 404, duration_ms: 2, route: 'other', path: '/a\u001b[2J', end_reason: 'not_found' }
  assert.equal(requestLine({ ...failed, error: 'no such' }), '404 2ms /a?[2J not_found "no such"')
})
