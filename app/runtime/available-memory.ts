import { totalmem } from 'node:os'

/** Bytes of memory that this process may use: the limit of its container, else what the machine has. */
export function availableMemory(): number {
  // 0, or more than there can be, where there is no limit.
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}

/** Bytes that the bodies of all requests may take up together; a quarter of all memory where that is left to the router. */
export function bufferBound(setting: number | 'auto'): number {
  return setting === 'auto' ? Math.floor(availableMemory() / 4) : setting
}
