import { type ReadFile, readConfigFile } from './config-file.ts'
import { type Environment, readEnvironment } from './environment.ts'
import { readFlags } from './flags.ts'
import { readOtelVariables } from './otel-variables.ts'
import type { ConfigProblem, Reading } from './problem.ts'
import { type Origins, resolve } from './resolve.ts'
import type { Config } from './settings.ts'

export interface LoadOptions {
  /** Flags only: no program name, no verb. */
  readonly argv: readonly string[]
  readonly env: Environment
  /** Reads YAML and JSON files; programs are imported. */
  readonly readFile?: ReadFile
  /** What a relative `--config` is relative to. */
  readonly cwd?: string
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
}: LoadOptions): Promise<LoadResult> {
  const flags = readFlags(argv)
  const variables = readEnvironment(env)
  const named = [...flags.values, ...variables.values].find(({ key }) => key === 'config')
  const wanted = typeof named?.value === 'string' && !['', 'none'].includes(named.value.trim())
  const nothing: Reading = { values: [], faults: [] }
  const file = named && wanted ? await readConfigFile(named, { cwd, env, readFile }) : nothing
  const given = new Set([flags, variables, file].flatMap(({ values }) => values.map(({ key }) => key)))
  const sources = [flags, variables, file, readOtelVariables(env, given)]
  const resolved = resolve(sources.map(({ values }) => values))
  const faults = [...sources.flatMap((source) => source.faults), ...resolved.faults]
  if (faults.length > 0) return { ok: false, faults }
  return { ok: true, config: resolved.config, origins: resolved.origins }
}
