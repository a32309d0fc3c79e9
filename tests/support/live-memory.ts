/**
 * Loaded into a router beside its own program: tells, whenever the process gets SIGUSR2, how much memory is in use after
 * everything that nobody refers to is gone. What the kernel counts says little about a leak of a few bytes a request.
 */

import { writeSync } from 'node:fs'

process.on('SIGUSR2', () => {
  const collect = process.versions.bun === undefined ? globalThis.gc : () => Bun.gc(true)
  // What one collection sets free may hold what the next one finds.
  for (let round = 0; round < 3; round++) collect?.()
  const { heapUsed, external } = process.memoryUsage()
  writeSync(2, `live ${heapUsed + external}\n`)
})
