/** The processes of a router that runs as several, by what its log says of them. */

import { readFileSync } from 'node:fs'
import type { RouterProcess } from './router-process.ts'

/** Process ids in the order in which they began to serve, those that are gone included. */
export function processPids(router: RouterProcess): number[] {
  return router.logs().flatMap(({ msg, pid }) => (msg === 'process serving' ? [Number(pid)] : []))
}

/** How many requests each process has answered on that route, by its number. */
export function answeredBy(router: RouterProcess, route: string): Map<number, number> {
  const counts = new Map<number, number>()
  for (const { msg, route: of, process } of router.logs()) {
    if (msg === 'request' && of === route) counts.set(Number(process), (counts.get(Number(process)) ?? 0) + 1)
  }
  return counts
}

/** Whether such a process runs; one that has ended and was not waited for does not. */
export function runs(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
