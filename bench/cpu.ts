/** CPU time of a process and all that it started, as Linux counts it: user and system, of every thread. */

import { readdirSync, readFileSync } from 'node:fs'

/** Linux counts a process's time in hundredths of a second, whatever the kernel's own clock. */
const millisecondsPerTick = 10

export interface CpuReading {
  /** Milliseconds of all processes, threads that have ended included; in steps of one tick. */
  readonly ticksMs: number
  /** Nanoseconds of each thread that lives. */
  readonly threads: ReadonlyMap<string, number>
}

export interface ProcessStat {
  readonly parent: number
  /** Milliseconds, user and system. */
  readonly ownMs: number
  /** The same of children that have ended and were waited for. */
  readonly childrenMs: number
}

/** Reads one line of /proc/PID/stat. The name in it may hold anything, brackets and blanks included. */
export function parseStat(line: string): ProcessStat {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
  const ticks = (index: number): number => Number(fields[index])
  return {
    parent: Number(fields[1]),
    ownMs: (ticks(11) + ticks(12)) * millisecondsPerTick,
    childrenMs: (ticks(13) + ticks(14)) * millisecondsPerTick,
  }
}

/** A process and its descendants, those that live. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    const stat = Number.isInteger(pid) ? readText(`/proc/${pid}/stat`) : undefined
    if (stat === undefined) continue
    const { parent } = parseStat(stat)
    children.set(parent, [...(children.get(parent) ?? []), pid])
  }
  const tree = [root]
  for (const pid of tree) tree.push(...(children.get(pid) ?? []))
  return tree
}

export function readCpu(root: number): CpuReading {
  const threads = new Map<string, number>()
  let ticksMs = 0
  for (const pid of processTree(root)) {
    const stat = readText(`/proc/${pid}/stat`)
    if (stat === undefined) continue
    const { ownMs, childrenMs } = parseStat(stat)
    ticksMs += ownMs + childrenMs
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const schedule = readText(`/proc/${pid}/task/${thread}/schedstat`)
      if (schedule !== undefined) threads.set(`${pid}/${thread}`, Number(schedule.split(' ', 1)[0]))
    }
  }
  return { ticksMs, threads }
}

/**
 * Milliseconds of CPU between two readings. The threads' own counters are exact to the nanosecond, but leave with their
 * thread; where the coarse count of the process is clearly higher, a thread has ended, and that count is taken.
 */
export function cpuBetween(before: CpuReading, after: CpuReading): number {
  let exact = 0
  for (const [thread, nanoseconds] of after.threads)
    exact += (nanoseconds - (before.threads.get(thread) ?? 0)) / 1e6
  const coarse = after.ticksMs - before.ticksMs
  return coarse > exact + 3 * millisecondsPerTick ? coarse : exact
}

/** Milliseconds of CPU of all children of this process that have ended. */
export function endedChildrenMs(): number {
  return parseStat(readFileSync('/proc/self/stat', 'utf8')).childrenMs
}

/** Milliseconds that the cores of the machine were busy since it was started, all programs together. */
export function machineBusyMs(): number {
  const [user = 0, nice = 0, system = 0, , , interrupts = 0, soft = 0] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]!
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return (user + nice + system + interrupts + soft) * millisecondsPerTick
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // Ended since it was listed.
    return undefined
  }
}
