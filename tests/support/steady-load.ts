/** Requests at a fixed rate, whatever becomes of them: an overload that waits for answers is none. */

import { pause } from './deadline.ts'

/** Calls `start` `perSecond` times a second for that long; late turns are made up for. Resolves with all results. */
export async function steadyLoad<T>(
  { perSecond, seconds }: { readonly perSecond: number; readonly seconds: number },
  start: (index: number) => Promise<T>,
): Promise<readonly T[]> {
  const total = Math.round(perSecond * seconds)
  const begun = performance.now()
  const results: Promise<T>[] = []
  while (results.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - begun) / 1000) * perSecond) + 1)
    while (results.length < due) results.push(start(results.length))
    await pause(2)
  }
  return await Promise.all(results)
}
