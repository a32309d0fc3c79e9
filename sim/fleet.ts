/** Several simulated vLLM servers in one process. */
import type { SimOptions } from './options.ts'
import { type SimulatedVllm, startSimulatedVllm } from './server.ts'

export interface FleetOptions extends Partial<SimOptions> {
  /** Number of servers. Default 7. */
  size?: number
}

export interface Fleet {
  /** `worker-1` to `worker-n`. */
  readonly workers: readonly SimulatedVllm[]
  readonly urls: readonly string[]
  /** Closes all servers. */
  close(): Promise<void>
}

/**
 * Starts `size` servers with ids `worker-1` to `worker-n`. With `port` they take the first free
 * ports from there on, without it any free ones. All have the same seed, so any of them gives the same words. Rejects, with none left running,
 * when one cannot start.
 */
export async function startFleet({ size = 7, ...options }: FleetOptions = {}): Promise<Fleet> {
  if (!Number.isInteger(size) || size < 1) throw new RangeError(`size: must be 1 or more, got ${size}`)
  const workers: SimulatedVllm[] = []
  const close = async () => {
    await Promise.all(workers.map((worker) => worker.close()))
  }
  try {
    let next = options.port ?? 0
    for (let number = 1; number <= size; number++) {
      const worker = await startOnFreePort({ ...options, id: `worker-${number}`, port: next })
      if (next !== 0) next = worker.port + 1
      workers.push(worker)
    }
  } catch (error) {
    await close()
    throw error
  }
  return { workers, urls: workers.map(({ url }) => url), close }
}

/** Starts on the given port or, when it is taken, on the next one that is free. */
async function startOnFreePort(options: Partial<SimOptions> & { port: number }): Promise<SimulatedVllm> {
  for (let port = options.port; ; port++) {
    try {
      return await startSimulatedVllm({ ...options, port })
    } catch (error) {
      const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
      if (!isTaken || port === 0 || port >= 65_535) throw error
    }
  }
}
