import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Bytes of this process's heap, after a collection. */
export function heapInUse(): number {
  if (process.versions.bun !== undefined) {
    Bun.gc(true)
  } else {
    setFlagsFromString('--expose-gc')
    const collect: () => void = runInNewContext('gc')
    collect()
  }
  return process.memoryUsage().heapUsed
}
