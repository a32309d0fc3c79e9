import type { Config } from './config/settings.ts'
import { availableMemory } from './runtime/available-memory.ts'

/** Bytes that the bodies of all requests may take up together. */
export function bufferedBytesOf({ maxBufferedBytes }: Pick<Config, 'maxBufferedBytes'>): number {
  return maxBufferedBytes === 'auto' ? Math.floor(availableMemory() / 4) : maxBufferedBytes
}
