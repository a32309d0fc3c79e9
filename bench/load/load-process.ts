/** A load client in a process of its own, so that its cost is counted by itself. */

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { runtimeBinary } from '../runtime-binary.ts'
import type { RateCounts, RatePlan } from './rate-client.ts'
import type { StreamCounts, StreamPlan } from './stream-client.ts'

const program = fileURLToPath(new URL('load-program.ts', import.meta.url))
const answerWithinMs = 60_000

export type LoadOrder =
  | { readonly kind: 'streams'; readonly plan: StreamPlan }
  | { readonly kind: 'rate'; readonly plan: RatePlan }

export interface LoadProcess<Counts> {
  readonly pid: number
  /** Sends the first request. */
  begin(): void
  /** What was seen since the last time. */
  take(): Promise<Counts>
  stop(): Promise<void>
}

export const startStreams = (plan: StreamPlan): Promise<LoadProcess<StreamCounts>> =>
  start({ kind: 'streams', plan })
export const startRate = (plan: RatePlan): Promise<LoadProcess<RateCounts>> => start({ kind: 'rate', plan })

/** Resolves when the process is up: its start belongs to no measurement. */
async function start<Counts>(order: LoadOrder): Promise<LoadProcess<Counts>> {
  const child = fork(program, { execPath: runtimeBinary('node'), serialization: 'advanced' })
  const kill = (): void => void child.kill('SIGKILL')
  process.on('exit', kill)
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await new Promise((resolve, reject) => child.once('message', resolve).once('exit', reject))

  function take(): Promise<Counts> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('the load generator does not answer')), answerWithinMs)
      child.once('message', (counts) => {
        clearTimeout(late)
        resolve(counts as Counts)
      })
      child.send('take')
    })
  }

  return {
    pid: child.pid ?? 0,
    begin: () => void child.send(order),
    take,
    stop: async () => {
      kill()
      await exited
      process.off('exit', kill)
    },
  }
}
