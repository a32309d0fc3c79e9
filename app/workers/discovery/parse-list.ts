import { Worker } from 'node:worker_threads'
import { type ListedWorker, parseWorkerList } from '../../config/worker-list.ts'
import { moduleBeside } from '../../runtime/module-beside.ts'

/** Characters. A shorter list is parsed within some 40 ms. */
const shortText = 32 * 1024

/** What the thread says. */
export type Parsed = { readonly workers: ListedWorker[] } | { readonly error: string }

/**
 * The workers that a text lists. A long one is parsed in a thread of its own: a mebibyte of YAML takes 2.6 s, and all
 * streams would stand still.
 *
 * @throws Error as `parseWorkerList`
 */
export async function parseList(text: string): Promise<ListedWorker[]> {
  if (text.length <= shortText) return parseWorkerList(text)
  const thread = new Worker(moduleBeside(import.meta.url, 'list-thread'), {
    workerData: text,
  })
  try {
    const parsed = await new Promise<Parsed>((resolve, reject) => {
      thread.once('message', resolve).once('error', reject)
      thread.once('exit', () => reject(new Error('the thread that parsed the list ended')))
    })
    if ('error' in parsed) throw new Error(parsed.error)
    return parsed.workers
  } finally {
    void thread.terminate()
  }
}
