import type { LoadPlace } from './cells/cell.ts'
import { cpuBetween, machineBusyMs, readCpu } from './cpu.ts'
import { forgetPeak, readMemory } from './memory.ts'

export interface Meter {
  /** What the contender, the workers and the machine as a whole have used since the meter was started. */
  read(): { cpuMs: number; workerCpuMs: number; peakKb: number; machineCpuMs: number }
}

export function startMeter({ target, workers }: LoadPlace): Meter {
  const pid = target.process?.pid
  if (pid !== undefined) forgetPeak(pid)
  const before = pid === undefined ? undefined : readCpu(pid)
  const busyBefore = machineBusyMs()
  const workersBefore = readCpu(workers.process.pid)
  return {
    read: () => ({
      cpuMs: pid === undefined || before === undefined ? 0 : cpuBetween(before, readCpu(pid)),
      workerCpuMs: cpuBetween(workersBefore, readCpu(workers.process.pid)),
      machineCpuMs: machineBusyMs() - busyBefore,
      peakKb: pid === undefined ? 0 : readMemory(pid).peakKb,
    }),
  }
}
