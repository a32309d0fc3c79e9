import { type ReadFile, readConfigFile } from './config-file.ts'
import { type Environment, readEnvironment } from './environment.ts'
import { readFlags } from './flags.ts'
import { readKeysFile } from './keys-file.ts'
import { readOtelVariables } from './otel-variables.ts'
import type { ConfigProblem, RawValue, Reading } from './problem.ts'
import { type Origins, resolve } from './resolve.ts'
import type { Config, SettingKey } from './settings.ts'

export interface LoadOptions {
  /** Flags only: no program name, no verb. */
  readonly argv: readonly string[]
  readonly env: Environment
  /** Reads YAML and JSON files; programs are imported. */
  readonly readFile?: ReadFile
  /** What a relative `--config` is relative to. */
  readonly cwd?: string
  /** False leaves the file of `--keys-file` unread. Default true. */
  readonly readsKeys?: boolean
}

export type LoadResult =
  | { readonly ok: true; readonly config: Config; readonly origins: Origins }
  | { readonly ok: false; readonly faults: readonly ConfigProblem[] }

/** Flags over environment over file over defaults, with every fault of all of them. Never throws for a wrong input. */
export async function loadConfig({
  argv,
  env,
  readFile,
  cwd = process.cwd(),
  readsKeys = true,
}: LoadOptions): Promise<LoadResult> {
  const flags = readFlags(argv)
  const variables = readEnvironment(env)
  const options = { cwd, env, readFile }
  const named = fileIn('config', [flags, variables])
  const file = named === undefined ? nothing : await readConfigFile(named, options)
  const namedKeys = fileIn('keysFile', [flags, variables, file])
  const keysFile = namedKeys === undefined || !readsKeys ? nothing : await readKeysFile(namedKeys, options)
  const given = new Set([flags, variables, file].flatMap(({ values }) => values.map(({ key }) => key)))
  const sources = [flags, variables, file, keysFile, readOtelVariables(env, given)]
  const resolved = resolve(sources.map(({ values }) => values))
  const faults = [...sources.flatMap((source) => source.faults), ...resolved.faults]
  if (faults.length > 0) return { ok: false, faults }
  return { ok: true, config: resolved.config, origins: resolved.origins }
}

const nothing: Reading = { values: [], faults: [] }

/** The file that a setting names, by the first source that has it; undefined where there is none to be read. */
function fileIn(key: SettingKey, sources: readonly Reading[]): RawValue | undefined {
  const named = sources.flatMap(({ values }) => values).find((raw) => raw.key === key)
  const isFile = typeof named?.value === 'string' && !['', 'none'].includes(named.value.trim().toLowerCase())
  return isFile ? named : undefined
}
