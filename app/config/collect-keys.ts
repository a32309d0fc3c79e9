import { extensionKeys } from './extensions.ts'
import { fileKey } from './kinds/setting.ts'
import { type ConfigProblem, got, type Origin, type RawValue, type Reading } from './problem.ts'
import { settingNamed } from './settings.ts'
import { treeOf } from './tree.ts'
import { unknownName } from './unknown-name.ts'

/** A key of a file or of a program's object, with its value and place. */
export interface WrittenKey {
  readonly written: string
  readonly value: unknown
  readonly origin: Origin
  readonly itemOrigins?: readonly Origin[]
}

/** Turns written keys, in any of their spellings, into values of settings. `code`: functions are possible here. */
export function collectKeys(keys: Iterable<WrittenKey>, code: boolean): Reading {
  const values = new Map<string, RawValue>()
  const faults: ConfigProblem[] = []
  for (const { written, ...given } of keys) {
    // For editors: where the schema of the file is.
    if (written === '$schema') continue
    const found = keyOf(written, given.origin, code)
    if (typeof found !== 'string') faults.push(found)
    else if (values.has(found))
      faults.push({ name: written, origin: given.origin.text, problem: 'given twice, in two spellings' })
    else if (found === 'keys' || found === 'fileKeys') values.set(found, placed(written, given, found, code))
    else values.set(found, { ...given, key: found })
  }
  return { values: [...values.values()], faults }
}

/** Whether a key of a file holds a list of keys of clients. */
export function isKeyList(written: string): boolean {
  return fileKey(written) === 'keys'
}

/** What is in a list of keys has places of its own; in a file of data, whoever read it has set them. */
function placed(
  written: string,
  { value, origin }: Omit<WrittenKey, 'written'>,
  key: string,
  code: boolean,
): RawValue {
  if (!code) return { key, value, origin }
  const { text } = origin
  const end = text.lastIndexOf(written) + written.length
  const place = (path: string) => ({ ...origin, text: text.slice(0, end) + path + text.slice(end) })
  return { key, value: treeOf(value, place), origin }
}

function keyOf(written: string, origin: Origin, code: boolean): string | ConfigProblem {
  const name = fileKey(written)
  const extension = extensionKeys.find((key) => fileKey(key) === name)
  if (extension !== undefined && code) return extension
  if (extension !== undefined) {
    const hint = 'it is code: use a TypeScript or JavaScript file'
    return { name: written, origin: origin.text, problem: 'not possible in this file', hint }
  }
  if (name === 'keys') return 'keys'
  // Made, not written: a program has it from a configuration that was read.
  if (code && written === 'fileKeys') return written
  const entry = settingNamed(name)
  if (entry === undefined)
    return { ...unknownName('key', name, origin.text, spelling(origin)), name: written }
  if (entry.key === 'config' && origin.source === 'file')
    return { name: written, origin: origin.text, problem: 'a file cannot name another file' }
  return entry.key
}

/** Programs write camelCase, files kebab-case. */
function spelling(origin: Origin): (flag: string) => string {
  return origin.source === 'option' ? (flag) => settingNamed(flag)?.key ?? flag : (flag) => flag
}

/** The fault for a file whose content is not a set of keys at all. */
export function notKeys(name: string, origin: string, content: unknown): ConfigProblem {
  return { name, origin, problem: got(content), allowed: 'keys with values, such as port: 8080' }
}
