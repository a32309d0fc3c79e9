import { fileURLToPath } from 'node:url'
import { startProcess } from '../background-process.ts'
import { freePort } from '../free-port.ts'
import { runtimeBinary } from '../runtime-binary.ts'
import { type WorkerFleet, workerAddresses } from './worker-fleet.ts'

const program = fileURLToPath(new URL('stream-worker.ts', import.meta.url))

export interface StreamWorkersPlan {
  readonly count: number
  /** Of each answer. */
  readonly tokens: number
  /** Milliseconds between two tokens; 0: all at once. */
  readonly pace: number
  readonly directory: string
}

/** Workers that stream: one process of Node, see `stream-worker.ts`. */
export async function startStreamWorkers(plan: StreamWorkersPlan): Promise<WorkerFleet> {
  const { count, tokens, pace, directory } = plan
  const port = await freePort()
  const addresses = workerAddresses(count)
  const process = await startProcess({
    command: runtimeBinary('node'),
    args: [program, ...[port, count, tokens, pace].map(String)],
    directory,
    name: 'stream-workers',
    readyUrl: `http://${addresses.at(-1)}:${port}/health`,
  })
  return { hosts: addresses.map((address) => `${address}:${port}`), process }
}
