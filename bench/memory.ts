/** Memory of a process and all that it started, in kilobytes (1024 bytes) of resident pages. */

import { readFileSync, writeFileSync } from 'node:fs'
import { processTree } from './cpu.ts'

export interface MemoryReading {
  readonly residentKb: number
  /** Highest since the start or the last `forgetPeak`. */
  readonly peakKb: number
}

export function readMemory(root: number): MemoryReading {
  let residentKb = 0
  let peakKb = 0
  for (const pid of processTree(root)) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    residentKb += Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0)
    peakKb += Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0)
  }
  return { residentKb, peakKb }
}

/** From here on, the peak is that of what follows. */
export function forgetPeak(root: number): void {
  for (const pid of processTree(root)) writeFileSync(`/proc/${pid}/clear_refs`, '5')
}
