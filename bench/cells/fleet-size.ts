import { cpuBetween, readCpu } from '../cpu.ts'
import { pause } from '../pause.ts'
import { model } from '../workers/answers.ts'
import { startFixedWorkers } from '../workers/fixed-workers.ts'
import type { Cell } from './cell.ts'
import { saturation } from './saturation.ts'

const idleMs = 4000

/** What a request costs with that many workers registered, and what they cost while nothing is asked. */
export function fleetSize(workers: number): Cell {
  const cell = saturation({
    name: `workers-${workers}`,
    about: `answers of 300 bytes, 32 connections, ${workers} workers`,
    connections: 32,
    body: JSON.stringify({ model, prompt: 'Test', max_tokens: 10 }),
    only: (name) => !name.startsWith('bare-') && name !== 'caddy',
    startWorkers: (directory) => startFixedWorkers(workers, directory),
  })
  return {
    ...cell,
    async measure(place) {
      const pid = place.target.process?.pid
      const before = pid === undefined ? undefined : readCpu(pid)
      await pause(idleMs)
      const idleCpuMs =
        pid === undefined || before === undefined ? undefined : cpuBetween(before, readCpu(pid))
      const sample = await cell.measure(place)
      return { ...sample, idleCpuShare: idleCpuMs === undefined ? undefined : idleCpuMs / idleMs }
    },
  }
}
