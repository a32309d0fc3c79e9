/** The thread of `SqliteStore`: does one thing after the other with the file, and says what came of it. */

import { parentPort, workerData } from 'node:worker_threads'
import type { Asked, Told } from './sqlite-store.ts'
import { SqliteUsage } from './sqlite-usage.ts'

// Node 22 calls its driver experimental, on standard error.
process.removeAllListeners('warning')

const file = workerData as string
let usage: SqliteUsage | undefined

async function perform({ task, argument }: Asked): Promise<unknown> {
  if (task === 'close') {
    usage?.close()
    return undefined
  }
  usage ??= await SqliteUsage.open(file)
  if (task === 'add') return usage.add(argument)
  if (task === 'forget') return usage.forget(argument)
  return usage.rows(argument)
}

let last: Promise<void> = Promise.resolve()

parentPort?.on('message', (asked: Asked) => {
  last = last.then(async () => {
    let told: Told
    try {
      told = { id: asked.id, value: await perform(asked) }
    } catch (error) {
      told = { id: asked.id, error: (error as Error).message }
      forgetDatabase()
    }
    parentPort?.postMessage(told)
  })
})

/** The disk may be full, the file broken or gone: the next time it is opened anew. */
function forgetDatabase(): void {
  try {
    usage?.close()
  } catch {
    // It was not to be had anyway.
  }
  usage = undefined
}
