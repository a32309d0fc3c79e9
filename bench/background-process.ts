/** Programs that run beside the benchmark: their output goes to a file, and none of them outlives it. */

import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface BackgroundProcess {
  readonly pid: number
  /** The last lines of its output. */
  said(): string
  stop(): Promise<void>
}

export interface ProcessPlan {
  readonly command: string
  readonly args: readonly string[]
  /** Where its output goes: `<directory>/<name>.log`. */
  readonly directory: string
  readonly name: string
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** Answers GET with 200 once it can be measured. */
  readonly readyUrl: string
}

const readyWithinMs = 20_000

/** Starts a program and waits until it answers. */
export async function startProcess(plan: ProcessPlan): Promise<BackgroundProcess> {
  const logFile = join(plan.directory, `${plan.name}.log`)
  const output = openSync(logFile, 'a')
  // A group of its own: it ends with everything that it has started.
  const child = spawn(plan.command, plan.args, {
    cwd: plan.cwd ?? plan.directory,
    env: plan.env ?? process.env,
    stdio: ['ignore', output, output],
    detached: true,
  })
  closeSync(output)
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(String(signal ?? `exit code ${code}`)))
  })
  const pid = child.pid ?? 0
  const kill = (): void => killGroup(pid)
  process.on('exit', kill)
  const running: BackgroundProcess = {
    pid,
    said: () => readFileSync(logFile, 'utf8').split('\n').slice(-20).join('\n'),
    stop: async () => {
      kill()
      await exited
      process.off('exit', kill)
    },
  }
  const gone = exited.then((how) => {
    throw new Error(`${plan.name} ended (${how}) before it was ready\n${running.said()}`)
  })
  try {
    await Promise.race([untilReady(plan), gone])
  } catch (error) {
    await running.stop()
    throw error
  }
  gone.catch(() => {})
  return running
}

async function untilReady({ readyUrl, name }: ProcessPlan): Promise<void> {
  const deadline = performance.now() + readyWithinMs
  for (;;) {
    try {
      const response = await fetch(readyUrl, { signal: AbortSignal.timeout(1000) })
      await response.arrayBuffer()
      if (response.ok) return
    } catch {
      // Not listening yet.
    }
    if (performance.now() > deadline) throw new Error(`${name} is not ready after ${readyWithinMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

function killGroup(pid: number): void {
  if (pid === 0) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Gone already.
  }
}
