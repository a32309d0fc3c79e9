import { closeSync, openSync, readFileSync } from 'node:fs'

/** Descriptors kept free for the process's own files, and for connections that only get a 503. */
const ownFiles = 64
/** What a client is told when there is no file descriptor left for a connection. */
export const noRoom = 'the router has reached its limit of open connections'
const shareForRefusals = 0.02

/**
 * Connections that this process may have at once, from its limit of open files (`ulimit -n`): a stream needs two. It ends
 * a little below the limit, so that those beyond it still get an answer. Infinity where the system does not tell.
 */
export function connectionLimit(limits = readLimits()): number {
  const files = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
  if (files === undefined) return Number.POSITIVE_INFINITY
  return Math.max(2, Math.floor(Number(files) * (1 - shareForRefusals)) - ownFiles)
}

/** As Linux has it. */
function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return ''
  }
}

/** Whether this process, or the whole system, can open nothing more at this moment. */
export function outOfFiles(): boolean {
  try {
    closeSync(openSync('/dev/null', 'r'))
    return false
  } catch (error) {
    return ['EMFILE', 'ENFILE'].includes((error as { code?: string }).code ?? '')
  }
}
