import type { BackgroundProcess } from '../background-process.ts'

export interface WorkerFleet {
  /** host:port of each worker. */
  readonly hosts: readonly string[]
  readonly process: BackgroundProcess
}

/**
 * Addresses of that many workers on one port: Linux answers on all of 127.0.0.0/8, so that a thousand workers need one
 * process and one free port.
 */
export function workerAddresses(count: number): string[] {
  return Array.from(
    { length: count },
    (_, index) => `127.0.${1 + Math.floor(index / 250)}.${1 + (index % 250)}`,
  )
}
