import { readFile as readFromDisk } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { moduleBeside } from '../runtime/module-beside.ts'
import { type ReadOptions, whyUnreadable } from './config-file.ts'
import type { ReadEntries } from './key-entries.ts'
import { type KeysText, readKeysText } from './keys-text.ts'
import type { RawValue, Reading } from './problem.ts'

/** Characters. A shorter file is read within some 40 ms. */
const shortText = 32 * 1024

/** Reads the file that `--keys-file` names: the list that `keys` may hold in a configuration file, in YAML or JSON. */
export async function readKeysFile(
  given: RawValue,
  { cwd, env, readFile = (path) => readFromDisk(path, 'utf8') }: ReadOptions,
): Promise<Reading> {
  const file = String(given.value).trim()
  const path = resolve(cwd, file)
  try {
    const text: KeysText = { text: await readFile(path), file, env: { ...env }, folder: dirname(path) }
    const value = text.text.length <= shortText ? await readKeysText(text) : await readInThread(text)
    return { values: [{ key: 'fileKeys', value, origin: given.origin }], faults: [] }
  } catch (error) {
    const problem = `cannot read ${path}: ${whyUnreadable(error)}`
    return { values: [], faults: [{ name: '--keys-file', origin: given.origin.text, problem }] }
  }
}

/** A thousand tenants take more than 100 ms, in which all streams would stand still. */
async function readInThread(workerData: KeysText): Promise<ReadEntries> {
  const thread = new Worker(moduleBeside(import.meta.url, 'keys-thread'), {
    workerData,
  })
  try {
    return await new Promise<ReadEntries>((resolve, reject) => {
      thread.once('message', resolve).once('error', reject)
      thread.once('exit', () => reject(new Error('the thread that read it ended')))
    })
  } finally {
    void thread.terminate()
  }
}
