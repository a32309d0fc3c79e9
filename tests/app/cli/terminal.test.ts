/** `top` on a real terminal: it draws, hears keys, and gives the terminal back however it ends. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createGateway } from '../../../app/index.ts'
import { entryOf, runtimeBinary, thisRuntime } from '../../support/child.ts'
import { eventually } from '../../support/deadline.ts'
import { noPty, onTerminal } from '../../support/pty.ts'
import type { Scope } from '../../support/scope.ts'
import { startScriptedWorker } from '../../support/scripted-worker.ts'

const timeout = 60_000
const skip = noPty
const enter = '\u001b[?1049h'
const leave = '\u001b[?1049l'
const showCursor = '\u001b[?25h'

async function operationsOf(t: Scope): Promise<string> {
  const worker = await startScriptedWorker(undefined, { t })
  const gateway = await createGateway({ port: 0, prometheusPort: 0, workerUrls: [worker.url] })
  t.after(() => gateway.close())
  return (await gateway.start()).operations
}

/** The settings of the terminal before and after, the process's id, and its exit code. */
function started(program: string, t: Scope) {
  const terminal = onTerminal(
    `echo before $(stty -g); sh -c 'echo pid $$; exec ${program}'; echo exit $?; echo after $(stty -g)`,
    t,
  )
  const pid = async () => Number((await terminal.shows(/pid (\d+)/, 'the process'))[1])
  const isRestored = async (): Promise<string> => {
    await terminal.shows(/after \S+/, 'the end')
    const text = terminal.text()
    assert.ok(text.lastIndexOf(leave) > text.lastIndexOf(enter), 'the other screen has been left')
    assert.ok(text.lastIndexOf(showCursor) > text.lastIndexOf(enter), 'the cursor is there again')
    assert.equal(/after (\S+)/.exec(text)?.[1], /before (\S+)/.exec(text)?.[1])
    return /exit (\d+)/.exec(text)?.[1] ?? ''
  }
  return { ...terminal, pid, isRestored }
}

function top(operations: string): string {
  return `${runtimeBinary(thisRuntime)} ${entryOf('app')} top --url ${operations}`
}

describe('a terminal is given back', () => {
  for (const [how, keys, code] of [
    ['q', 'q', '0'],
    ['Ctrl-C', '\u0003', '0'],
  ] as const) {
    test(`after ${how}`, { timeout, skip }, async (t) => {
      const run = started(top(await operationsOf(t)), t)
      await run.shows(/1 of 1 available/, 'the fleet')
      run.type(keys)
      assert.equal(await run.isRestored(), code)
    })
  }

  for (const [signal, code] of [
    ['SIGINT', '130'],
    ['SIGTERM', '143'],
    ['SIGHUP', '129'],
  ] as const) {
    test(`after ${signal}`, { timeout, skip }, async (t) => {
      const run = started(top(await operationsOf(t)), t)
      await run.shows(/1 of 1 available/, 'the fleet')
      process.kill(await run.pid(), signal)
      assert.equal(await run.isRestored(), code)
    })
  }

  test('after an error that nobody caught, which is then told', { timeout, skip }, async (t) => {
    const run = started(`${runtimeBinary(thisRuntime)} tests/support/crash-on-terminal-program.ts`, t)
    await run.shows(/all is well/, 'the screen')
    assert.notEqual(await run.isRestored(), '0')
    assert.match(run.text(), /nobody catches this/)
  })
})

test('arrow keys and letters are heard', { timeout, skip }, async (t) => {
  const run = started(top(await operationsOf(t)), t)
  await run.shows(/1 of 1 available/, 'the fleet')
  run.type('\u001b[B\u001b[Ad')
  await run.shows(/gets nothing new/, 'the drain')
  run.type('?')
  await run.shows(/any key: back/, 'help')
  run.type('xq')
  await run.isRestored()
})

test('nothing stays behind when the terminal goes away', { timeout, skip }, async (t) => {
  const run = started(top(await operationsOf(t)), t)
  await run.shows(/1 of 1 available/, 'the fleet')
  const pid = await run.pid()
  run.hangUp()
  await eventually(() => isGone(pid), { what: 'the end of the process', withinMs: 10_000 })
})

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return false
  } catch {
    return true
  }
}
