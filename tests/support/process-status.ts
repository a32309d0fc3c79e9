/** What the kernel says of a process (Linux). */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Megabytes (2^20) of memory in use. */
export function residentMegabytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes) / 1024
}

/** Open sockets, those that listen included. */
export function openSockets(pid: number): number {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).filter((descriptor) => isSocket(`${folder}/${descriptor}`)).length
}

function isSocket(link: string): boolean {
  try {
    return readlinkSync(link).startsWith('socket:')
  } catch {
    // Closed since the folder was read.
    return false
  }
}
