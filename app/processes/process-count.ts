import { readFileSync } from 'node:fs'
import os from 'node:os'
import { dirname, join } from 'node:path'
import type { Config } from '../config/settings.ts'

/** How many processes the configuration wants here. */
export function processCount(config: Config, cpus: () => number = availableCpus): number {
  const { processes, maxConcurrentRequestsPerWorker: cap = Number.POSITIVE_INFINITY } = config
  // Each needs at least 1 of the cap per worker.
  return processes === 'auto' ? Math.min(cpus(), cap, 64) : processes
}

export interface CpuSources {
  /** CPUs that this process may run on. */
  readonly parallelism: number
  /** The text of a file; throws when there is none. */
  readonly read: (path: string) => string
}

const root = '/sys/fs/cgroup'

/**
 * CPUs that are there for this process: those it may run on, but no more than the limit of its container. Not every
 * runtime looks at that limit (cgroup v2, `cpu.max`). A part of a CPU does not count: a process that is held up for the
 * rest of each period makes its streams stutter.
 */
export function availableCpus(sources: CpuSources = system()): number {
  const limits = folders(sources).map((folder) => limitOf(join(folder, 'cpu.max'), sources))
  return Math.max(1, Math.floor(Math.min(sources.parallelism, ...limits)))
}

function system(): CpuSources {
  return { parallelism: os.availableParallelism(), read: (path) => readFileSync(path, 'utf8') }
}

/** The process's own cgroup and all above it: each may have a limit. In a container, its own is usually the root. */
function folders(sources: CpuSources): string[] {
  const own = /^0::(\/.*)$/m.exec(textOf('/proc/self/cgroup', sources))?.[1] ?? '/'
  const found = [root]
  for (let folder = own; folder !== '/' && !folder.includes('..'); folder = dirname(folder)) {
    found.push(join(root, folder))
  }
  return found
}

/** `200000 100000` is two CPUs, `max 100000` no limit. */
function limitOf(path: string, sources: CpuSources): number {
  const [, quota, period] = /^(\d+) (\d+)$/m.exec(textOf(path, sources)) ?? []
  if (quota === undefined || Number(period) === 0) return Number.POSITIVE_INFINITY
  return Number(quota) / Number(period)
}

function textOf(path: string, { read }: CpuSources): string {
  try {
    return read(path)
  } catch {
    return ''
  }
}
