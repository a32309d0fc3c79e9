import { readFile as readFromDisk } from 'node:fs/promises'
import { dirname, extname, resolve } from 'node:path'
import { readCode } from './code-file.ts'
import type { Environment } from './environment.ts'
import { got, type RawValue, type Reading } from './problem.ts'
import { withReferences } from './references.ts'
import { settingOf } from './settings.ts'
import { readYaml } from './yaml-file.ts'

export type ReadFile = (path: string) => Promise<string>

const programs = ['.ts', '.mts', '.js', '.mjs']
const data = ['.yaml', '.yml', '.json']

/** Characters. To read more takes seconds, in which a running router would serve nobody. */
const longestText = 4 * 2 ** 20
const tooLong = 'it has more than 4 MiB; a long list of keys belongs into the file of --keys-file'

export interface ReadOptions {
  readonly cwd: string
  /** What references in the file are looked up in. */
  readonly env: Environment
  readonly readFile?: ReadFile | undefined
}

/** Reads the file that `--config` names. A missing, unreadable or broken file is a fault like any other. */
export async function readConfigFile(
  given: RawValue,
  { cwd, env, readFile = (path) => readFromDisk(path, 'utf8') }: ReadOptions,
): Promise<Reading> {
  const file = String(given.value).trim()
  const path = resolve(cwd, file)
  const extension = extname(path).toLowerCase()
  if (programs.includes(extension)) return readCode(path, file)
  const fault = { name: '--config', origin: given.origin.text }
  if (!data.includes(extension)) {
    const { allowed } = settingOf('config').kind
    return { values: [], faults: [{ ...fault, problem: got(file), allowed }] }
  }
  try {
    const text = await readFile(path)
    if (text.length > longestText) throw new Error(tooLong)
    return await withReferences(readYaml(text, file), { env, folder: dirname(path) })
  } catch (error) {
    return { values: [], faults: [{ ...fault, problem: `cannot read ${path}: ${whyUnreadable(error)}` }] }
  }
}

export function whyUnreadable(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return reasons[code] ?? (error instanceof Error ? error.message : String(error))
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  EACCES: 'no permission',
}
