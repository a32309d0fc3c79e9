/** Programs that a test starts: their output is kept, and none of them outlives the test. */

import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { DeadlineError, within } from './deadline.ts'
import type { Scope } from './scope.ts'

export type Runtime = 'bun' | 'node'

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ProgramOptions {
  /** Of the project, for example `app/main.ts`. */
  readonly file: string
  readonly args: readonly string[]
  /** Added to the environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Default: the one that runs the test. */
  readonly runtime?: Runtime | undefined
  /** How many files it may have open; default: as many as the test. */
  readonly openFiles?: number | undefined
  readonly t?: Scope | undefined
}

export interface Program {
  readonly pid: number
  readonly exited: Promise<Exit>
  /** Complete lines of standard output so far. */
  lines(): readonly string[]
  stderr(): string
  /** The first line of standard output on which `find` gives something; rejects at the deadline or on exit. */
  line<T>(find: (line: string) => T | undefined, what: string, withinMs: number): Promise<T>
  signal(signal: NodeJS.Signals): void
  /** SIGKILL to the program and whatever it started. */
  kill(): Promise<Exit>
}

export const thisRuntime: Runtime = process.versions.bun === undefined ? 'node' : 'bun'

const root = fileURLToPath(new URL('../../', import.meta.url))

/**
 * The entry of a program of the project: on Node the built one, where the runner says that it is fresh. It starts in half
 * the time, and a test run starts some two hundred.
 */
export function entryOf(program: 'app' | 'sim', runtime: Runtime = thisRuntime): string {
  const built = runtime === 'node' && process.env.ROUTER_TESTS_BUILT === '1'
  return built ? `dist/${program}/main.js` : `${program}/main.ts`
}

/** The pinned binary of a runtime; for the one that runs now, the very binary that runs. */
export function runtimeBinary(runtime: Runtime): string {
  return runtime === thisRuntime ? process.execPath : `${root}node_modules/.bin/${runtime}`
}

export function startProgram(options: ProgramOptions): Program {
  const { file, args, env, runtime = thisRuntime, openFiles, t } = options
  const limited = openFiles === undefined ? [] : ['prlimit', `--nofile=${openFiles}:${openFiles}`]
  const [command = '', ...words] = [...limited, runtimeBinary(runtime), `${root}${file}`, ...args]
  const child = spawn(command, words, {
    cwd: root,
    env: cleanEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: a program that starts itself again is killed as a whole.
    detached: true,
  })
  const program = new RunningProgram(child, file)
  t?.after(() => program.kill())
  return program
}

/** The environment of the test without what would change the program: its own variables, the test runner's, colours. */
function cleanEnvironment(added: ProgramOptions['env'] = {}): NodeJS.ProcessEnv {
  const unwanted = /^(VLLM_|NODE_TEST|NODE_OPTIONS$|BUN_CONFIG_|FORCE_COLOR$|NO_COLOR$)/
  const kept = Object.entries(process.env).filter(([name]) => !unwanted.test(name))
  const all = Object.entries({ ...Object.fromEntries(kept), ...added })
  return Object.fromEntries(all.filter(([, value]) => value !== undefined))
}

class RunningProgram implements Program {
  readonly pid: number
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess
  readonly #file: string
  readonly #lines: string[] = []
  #partial = ''
  #stderr = ''
  #looking: (() => void)[] = []

  constructor(child: ChildProcess, file: string) {
    this.#child = child
    this.#file = file
    this.pid = child.pid ?? 0
    const exit = new Promise<Exit>((resolve, reject) => {
      child.once('error', reject)
      // Not `exit`: then the last lines may not be there yet.
      child.once('close', (code, signal) => resolve({ code, signal }))
    })
    this.exited = exit
    exit.catch(() => {})
    child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#output(text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
    const forget = dieWithParent(() => this.#killGroup())
    child.once('exit', forget)
  }

  lines(): readonly string[] {
    return this.#lines
  }

  stderr(): string {
    return this.#stderr
  }

  async line<T>(find: (line: string) => T | undefined, what: string, withinMs: number): Promise<T> {
    const found = new Promise<T>((resolve) => {
      let seen = 0
      const look = (): void => {
        for (; seen < this.#lines.length; seen++) {
          const result = find(this.#lines[seen] ?? '')
          if (result === undefined) continue
          resolve(result)
          return
        }
        this.#looking.push(look)
      }
      look()
    })
    const gone = this.exited.then(({ code, signal }) => {
      const how = signal ?? `code ${code}`
      throw new Error(`${this.#file} ended (${how}) before: ${what}\n${this.#said()}`)
    })
    try {
      return await within(withinMs, Promise.race([found, gone]), `${this.#file}: ${what}`)
    } catch (error) {
      await this.kill()
      throw error instanceof DeadlineError ? new DeadlineError(`${error.message}\n${this.#said()}`) : error
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async kill(): Promise<Exit> {
    this.#killGroup()
    return await within(5000, this.exited, `${this.#file}: end after SIGKILL`)
  }

  #killGroup(): void {
    if (this.pid === 0) return
    try {
      process.kill(-this.pid, 'SIGKILL')
    } catch {
      // The group is gone already.
    }
  }

  #output(text: string): void {
    const parts = (this.#partial + text).split('\n')
    this.#partial = parts.pop() ?? ''
    this.#lines.push(...parts)
    const looking = this.#looking
    this.#looking = []
    for (const look of looking) look()
  }

  #said(): string {
    return [...this.#lines.slice(-20), this.#stderr.slice(-2000)].join('\n')
  }
}

/** Runs `kill` when this process ends or is told to end; returns what takes that back. */
function dieWithParent(kill: () => void): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const onSignal = (signal: NodeJS.Signals): void => {
    kill()
    forget()
    process.kill(process.pid, signal)
  }
  const forget = (): void => {
    process.off('exit', kill)
    for (const signal of signals) process.off(signal, onSignal)
  }
  process.setMaxListeners(Math.max(process.getMaxListeners(), process.listenerCount('exit') + 10))
  process.on('exit', kill)
  for (const signal of signals) process.on(signal, onSignal)
  return forget
}
