/** How the processes are watched over, with stand-ins for them and a clock that is turned by hand. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { StartOrder, SupervisorCalls } from '../../../app/processes/calls.ts'
import type { Handlers } from '../../../app/processes/channel.ts'
import { ProcessGroup } from '../../../app/processes/process-group.ts'
import { AppClock } from '../../support/app-clock.ts'
import { eventually, within } from '../../support/deadline.ts'
import type { Scope } from '../../support/scope.ts'

const timeout = 30_000
const mute = fileURLToPath(new URL('../../support/mute-process.ts', import.meta.url))

function grouping(t: Scope, args: readonly string[] = [mute]) {
  const clock = new AppClock()
  const history: string[] = []
  const group = new ProcessGroup({
    count: 2,
    command: { file: process.execPath, args },
    argv: [],
    clock,
    order: async (number) => ({ number }) as StartOrder,
    handlers: () => ({}) as Handlers<SupervisorCalls>,
    events: {
      serving: ({ number }) => history.push(`${number} serves`),
      ended: ({ number }, { code, signal }, restartMs) =>
        history.push(`${number} ended (${signal ?? code}), next in ${restartMs}`),
      hung: ({ number }) => history.push(`${number} hangs`),
      startFailed: (number) => history.push(`${number} failed`),
    },
  })
  t.after(() => group.kill())
  return { clock, history, group }
}

test('a process that does not answer for 30 s is killed and replaced', { timeout }, async (t) => {
  const { clock, history, group } = grouping(t)
  await within(10_000, group.start(), 'both serve')
  history.length = 0
  await clock.pass(35_000)
  assert.deepEqual(history, [], 'asked 30 s ago')
  await clock.pass(5000)
  await eventually(() => history.length === 4, { what: 'both have ended' })
  const ended = [1, 2].map((number) => `${number} ended (SIGKILL), next in 0`)
  assert.deepEqual(history.splice(0).sort(), [ended[0], '1 hangs', ended[1], '2 hangs'])
  await clock.pass(1)
  await eventually(() => history.length === 2, { what: 'two others serve', withinMs: 10_000 })
  assert.deepEqual(history.sort(), ['1 serves', '2 serves'])
  assert.equal(group.serving.length, 2)
})

test('when one cannot start, none is left', { timeout }, async (t) => {
  const { group } = grouping(t, ['-e', 'process.exit(3)'])
  const failed = within(10_000, group.start(), 'the failure')
  await assert.rejects(failed, /ended before it listened \(code 3\)/)
  assert.deepEqual(group.all, [])
})
