/** A `StreamClient` in a process of its own, so that its cost is counted by itself. */

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { runtimeBinary } from '../runtime-binary.ts'
import type { StreamCounts, StreamPlan } from './stream-client.ts'

const program = fileURLToPath(new URL('stream-load-program.ts', import.meta.url))
const answerWithinMs = 30_000

export interface StreamLoad {
  readonly pid: number
  take(): Promise<StreamCounts>
  stop(): Promise<void>
}

export function startStreamLoad(plan: StreamPlan): StreamLoad {
  const child = fork(program, { execPath: runtimeBinary('node'), serialization: 'advanced' })
  const kill = (): void => void child.kill('SIGKILL')
  process.on('exit', kill)
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.send({ plan })

  function take(): Promise<StreamCounts> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('the load generator does not answer')), answerWithinMs)
      child.once('message', (counts) => {
        clearTimeout(late)
        resolve(counts as StreamCounts)
      })
      child.send('take')
    })
  }

  return {
    pid: child.pid ?? 0,
    take,
    stop: async () => {
      kill()
      await exited
      process.off('exit', kill)
    },
  }
}
