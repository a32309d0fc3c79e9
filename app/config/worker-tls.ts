import type { TlsFiles } from '../upstream/http-client.ts'
import { readTlsFiles, type TlsFault, type TlsPaths } from '../upstream/tls-files.ts'
import { kebabCase } from './kinds/setting.ts'
import { ConfigError, type ConfigProblem } from './problem.ts'
import type { Config, SettingKey } from './settings.ts'

const settings = { ca: 'workerCaFile', cert: 'workerClientCert', key: 'workerClientKey' } as const
const parts = { ...settings, serverName: 'workerServerName' } as const

/**
 * The certificates and the key that the router uses towards all https workers.
 *
 * @throws ConfigError that names each file which cannot be read or is not what it should be
 */
export function readWorkerTls(config: Config): TlsFiles | undefined {
  const { tls, faults } = readTlsFiles(pathsOf(config), config.workerServerName)
  if (faults.length > 0) throw new ConfigError(faults.map(settingFault))
  return tls
}

/** The settings of the parts that differ. */
export function changedParts(before: TlsFiles | undefined, after: TlsFiles | undefined): SettingKey[] {
  const names = Object.keys(parts) as (keyof typeof parts)[]
  return names.filter((part) => before?.[part] !== after?.[part]).map((part) => parts[part])
}

/** What is wrong with the files that the configuration names for all workers. */
export function workerTlsFaults(config: Config): ConfigProblem[] {
  return readTlsFiles(pathsOf(config)).faults.map(settingFault)
}

function pathsOf(config: Config): TlsPaths {
  return { ca: config.workerCaFile, cert: config.workerClientCert, key: config.workerClientKey }
}

function settingFault({ part, path, problem }: TlsFault): ConfigProblem {
  return { name: `--${kebabCase(settings[part])}`, origin: path, problem }
}
