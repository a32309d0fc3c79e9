import { type ReadEntries, readKeyEntries } from './key-entries.ts'
import { type ReferenceSources, withReferences } from './references.ts'
import type { Tree } from './tree.ts'
import { readKeysYaml } from './yaml-file.ts'

export interface KeysText extends ReferenceSources {
  readonly text: string
  /** As it is called in faults. */
  readonly file: string
}

/** The entries of a file of keys, and everything that is wrong with it. */
export async function readKeysText({ text, file, ...sources }: KeysText): Promise<ReadEntries> {
  const { values, faults } = await withReferences(readKeysYaml(text, file), sources)
  const read = values.map(({ value }) => readKeyEntries(value as Tree))
  return {
    entries: read.flatMap(({ entries }) => entries),
    faults: [...faults, ...read.flatMap((one) => one.faults)],
  }
}
