/** The router as its users run it: a process of its own, on free ports, with JSON lines on standard output. */

import { type Exit, entryOf, type Runtime, startProgram } from './child.ts'
import { within } from './deadline.ts'
import { type Metrics, metricValue, parseMetrics } from './metrics.ts'
import { rawRequest } from './raw-client.ts'
import type { Scope } from './scope.ts'

export interface RouterOptions {
  /** Default: see `entryOf`. */
  readonly file?: string
  /** Flags. `--port 0` and `--prometheus-port 0` are added unless they are among them. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Default: the one that runs the test. */
  readonly runtime?: Runtime
  /** How many files it may have open; default: as many as the test. */
  readonly openFiles?: number
  /** Milliseconds until it must listen, default 20000. */
  readonly withinMs?: number
  /** The router is killed when it ends. */
  readonly t?: Scope
}

export type LogLine = Readonly<Record<string, unknown>>

export interface RouterProcess {
  /** `http://127.0.0.1:PORT` of the API listener, without a slash at the end. */
  readonly api: string
  readonly apiPort: number
  readonly operations: string
  readonly operationsPort: number
  readonly pid: number
  /** Standard output so far; a line that is no JSON object becomes `{ notJson: line }`. */
  logs(): LogLine[]
  stderr(): string
  metrics(): Promise<Metrics>
  /** A fresh value: the sum over all series that carry the labels; undefined when there is none. */
  metric(name: string, labels?: Readonly<Record<string, string | number>>): Promise<number | undefined>
  readonly exited: Promise<Exit>
  signal(signal: NodeJS.Signals): void
  /** Sends the signal and waits for the end, 30 s unless told. */
  stop(signal?: NodeJS.Signals, withinMs?: number): Promise<Exit>
  /** SIGKILL. */
  kill(): Promise<Exit>
}

/** Starts the router and waits until it listens. When it does not, the error carries what it said. */
export async function startRouter(options: RouterOptions = {}): Promise<RouterProcess> {
  const { args = [], env, runtime, openFiles, withinMs = 20_000, t } = options
  const { file = entryOf('app', runtime) } = options
  const program = startProgram({
    file,
    args: withFreePorts(args),
    runtime,
    openFiles,
    t,
    ...(env && { env }),
  })
  const { api, operations } = await program.line(listening, 'the line "listening"', withinMs)
  const metrics = async (): Promise<Metrics> => {
    const exchange = rawRequest({ port: portIn(operations), path: '/metrics' })
    const { status, text } = await within(5000, exchange.text(), 'GET /metrics')
    if (status !== 200) throw new Error(`GET /metrics: ${status}`)
    return parseMetrics(text)
  }
  return {
    api,
    apiPort: portIn(api),
    operations,
    operationsPort: portIn(operations),
    pid: program.pid,
    logs: () => program.lines().map(parseLine),
    stderr: () => program.stderr(),
    metrics,
    metric: async (name, labels) => metricValue(await metrics(), name, labels),
    exited: program.exited,
    signal: (signal) => program.signal(signal),
    stop: async (signal = 'SIGTERM', stopWithinMs = 30_000) => {
      program.signal(signal)
      return await within(stopWithinMs, program.exited, `the router's end after ${signal}`)
    },
    kill: () => program.kill(),
  }
}

/** Runs the router with flags on which it must refuse to start, or a verb that ends by itself. */
export async function runRouter(
  options: RouterOptions = {},
): Promise<Exit & { readonly stdout: string; readonly stderr: string }> {
  const { args = [], env, runtime, withinMs = 20_000, t } = options
  const { file = entryOf('app', runtime) } = options
  const program = startProgram({ file, args, runtime, t, ...(env && { env }) })
  try {
    const exit = await within(withinMs, program.exited, `the end of ${file} ${args.join(' ')}`)
    return { ...exit, stdout: program.lines().join('\n'), stderr: program.stderr() }
  } finally {
    await program.kill()
  }
}

function withFreePorts(args: readonly string[]): string[] {
  const has = (flag: string): boolean => args.some((arg) => arg === flag || arg.startsWith(`${flag}=`))
  const ports = ['--port', '--prometheus-port'].filter((flag) => !has(flag)).flatMap((flag) => [flag, '0'])
  const verb = args[0] !== undefined && !args[0].startsWith('-') ? 1 : 0
  // Before the other flags: a list such as `--worker-urls a b` takes every word up to the next flag.
  return [...args.slice(0, verb), ...ports, ...args.slice(verb)]
}

function listening(line: string): { api: string; operations: string } | undefined {
  const { msg, api, operations } = parseLine(line)
  if (msg !== 'listening' || typeof api !== 'string' || typeof operations !== 'string') return undefined
  return { api: api.replace(/\/$/, ''), operations: operations.replace(/\/$/, '') }
}

function parseLine(line: string): LogLine {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  } catch {
    // Falls through: a test that looks for stray output finds it.
  }
  return { notJson: line }
}

function portIn(url: string): number {
  return Number(new URL(url).port)
}
