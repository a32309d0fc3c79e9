/** The thread of `parseList`: gets a text, and says which workers it lists. */

import { parentPort, workerData } from 'node:worker_threads'
import { parseWorkerList } from '../../config/worker-list.ts'
import type { Parsed } from './parse-list.ts'

function parsed(text: string): Parsed {
  try {
    return { workers: parseWorkerList(text) }
  } catch (error) {
    return { error: (error as Error).message }
  }
}

parentPort?.postMessage(parsed(workerData as string))
