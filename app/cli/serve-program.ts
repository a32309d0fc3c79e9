import { loadConfig } from '../config/load-config.ts'
import { formatProblems } from '../config/problem.ts'
import { tlsFaults } from '../config/tls-faults.ts'
import { readNoting } from './config-watch.ts'
import { type ServeOptions, serve } from './serve.ts'

/** Reads the configuration and serves with it, or says what is wrong with it: exit code 2. */
export async function serveProgram(options: Omit<ServeOptions, 'readVersions'>): Promise<number> {
  const { argv, env } = options
  const readVersions = new Map<string, string>()
  const readFile = readNoting((version, path) => readVersions.set(path, version))
  const loaded = await loadConfig({ argv, env, readFile })
  const faults = loaded.ok ? tlsFaults(loaded.config) : loaded.faults
  if (loaded.ok && faults.length === 0) return serve(loaded.config, { ...options, readVersions })
  process.stderr.write(`${formatProblems(faults)}\n`)
  return 2
}
