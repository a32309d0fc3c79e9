import { readFile as readFromDisk } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type ReadOptions, whyUnreadable } from './config-file.ts'
import type { RawValue, Reading } from './problem.ts'
import { withReferences } from './references.ts'
import { readKeysYaml } from './yaml-file.ts'

/** Reads the file that `--keys-file` names: the list that `keys` may hold in a configuration file, in YAML or JSON. */
export async function readKeysFile(
  given: RawValue,
  { cwd, env, readFile = (path) => readFromDisk(path, 'utf8') }: ReadOptions,
): Promise<Reading> {
  const file = String(given.value).trim()
  const path = resolve(cwd, file)
  try {
    return await withReferences(readKeysYaml(await readFile(path), file), { env, folder: dirname(path) })
  } catch (error) {
    const problem = `cannot read ${path}: ${whyUnreadable(error)}`
    return { values: [], faults: [{ name: '--keys-file', origin: given.origin.text, problem }] }
  }
}
