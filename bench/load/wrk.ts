import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { endedChildrenMs } from '../cpu.ts'
import { installed } from '../installed.ts'

const script = fileURLToPath(new URL('wrk.lua', import.meta.url))

export interface WrkPlan {
  readonly url: string
  readonly connections: number
  readonly seconds: number
  readonly body: string
  /** What every answer must be. */
  readonly expected: string
  readonly directory: string
}

export interface WrkResult {
  readonly requests: number
  readonly seconds: number
  readonly errors: number
  /** What was wrong with an answer; empty if none was. */
  readonly wrongAnswer: string
  readonly meanMs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** CPU of wrk itself. */
  readonly cpuMs: number
}

/** As many requests as it takes to keep the connections busy, from one thread. */
export async function runWrk(plan: WrkPlan): Promise<WrkResult> {
  const wrk = installed('wrk')
  if (wrk === undefined) throw new Error('this cell needs wrk: apt-get install wrk')
  const bodyFile = join(plan.directory, 'request-body')
  const expectedFile = join(plan.directory, 'expected-answer')
  writeFileSync(bodyFile, plan.body)
  writeFileSync(expectedFile, plan.expected)
  const cpuBefore = endedChildrenMs()
  const output = await outputOf(wrk, [
    ...['-t', '1', '-c', String(plan.connections), '-d', `${plan.seconds}s`, '--timeout', '30s'],
    ...['-s', script, plan.url, '--', bodyFile, expectedFile],
  ])
  const line = /^RESULT (.*)$/m.exec(output)?.[1]
  if (line === undefined) throw new Error(`wrk did not finish: ${output}`)
  const { wrong, example, connect, read, write, timeout, ...rest } = JSON.parse(line)
  return {
    ...rest,
    errors: wrong + connect + read + write + timeout,
    wrongAnswer: example,
    cpuMs: endedChildrenMs() - cpuBefore,
  }
}

function outputOf(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const pipe of [child.stdout, child.stderr])
      pipe.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    child.once('error', reject)
    child.once('close', () => resolve(output))
  })
}
