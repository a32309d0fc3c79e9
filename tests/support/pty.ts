/** A program on a terminal of its own: `script` of util-linux makes one. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { eventually, within } from './deadline.ts'
import type { Scope } from './scope.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** False where there is no `script`; or why a test is skipped. */
export const noPty: string | false =
  spawnSync('script', ['--version']).status === 0 ? false : 'there is no `script` (util-linux)'

export interface OnTerminal {
  /** All that has been written to the terminal. */
  text(): string
  shows(pattern: RegExp, what: string): Promise<RegExpExecArray>
  type(keys: string): void
  /** The terminal goes away, as with a window that is closed. */
  hangUp(): void
  ended(): Promise<void>
}

/** Runs a command of the shell on a terminal of 80 columns and 24 lines. */
export function onTerminal(command: string, t: Scope): OnTerminal {
  const environment = { ...process.env, TERM: 'xterm', SHELL: '/bin/sh' }
  delete (environment as Record<string, unknown>).NO_COLOR
  const child: ChildProcess = spawn(
    'script',
    ['-q', '-e', '-f', '-c', `stty rows 24 cols 80; ${command}`, '/dev/null'],
    { cwd: root, env: environment, stdio: ['pipe', 'pipe', 'inherit'], detached: true },
  )
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (more: string) => {
    text += more
  })
  child.stdin?.on('error', () => {})
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  t.after(async () => {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL')
    } catch {
      // It is gone already.
    }
    await within(5000, closed, 'the end of script')
  })
  return {
    text: () => text,
    shows: (pattern, what) => eventually(() => pattern.exec(text), { what, withinMs: 20_000 }),
    type: (keys) => void child.stdin?.write(keys),
    hangUp: () => void child.kill('SIGKILL'),
    ended: () => within(20_000, closed, 'the end of the command'),
  }
}
