import { fileURLToPath } from 'node:url'
import { startProcess } from '../background-process.ts'
import { freePort } from '../free-port.ts'
import { runtimeBinary } from '../runtime-binary.ts'
import { type WorkerFleet, workerAddresses } from './worker-fleet.ts'

const program = fileURLToPath(new URL('stream-worker.ts', import.meta.url))

/** Workers that stream: one process of Node, see `stream-worker.ts`. */
export async function startStreamWorkers(count: number, directory: string): Promise<WorkerFleet> {
  const port = await freePort()
  const addresses = workerAddresses(count)
  const process = await startProcess({
    command: runtimeBinary('node'),
    args: [program, String(port), String(count)],
    directory,
    name: 'stream-workers',
    readyUrl: `http://${addresses.at(-1)}:${port}/health`,
  })
  return { hosts: addresses.map((address) => `${address}:${port}`), process }
}
