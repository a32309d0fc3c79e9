import type { Config } from '../config/settings.ts'
import { availableCpus } from './available-cpus.ts'

/** How many processes the configuration wants here. */
export function processCount(config: Config, cpus: () => number = availableCpus): number {
  const { processes, maxConcurrentRequestsPerWorker: cap = Number.POSITIVE_INFINITY } = config
  // Each needs at least 1 of the cap per worker.
  return processes === 'auto' ? Math.min(cpus(), cap, 64) : processes
}
