import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { TlsFiles } from '../runtime/http-client.ts'
import { ConfigError, type Fault } from './fault.ts'
import { kebabCase } from './setting.ts'
import type { Config } from './settings.ts'

/** Paths of PEM files. */
export interface TlsPaths {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/** What is wrong with one of the files. */
export interface TlsFault {
  readonly part: keyof TlsPaths
  readonly path: string
  readonly problem: string
}

const settings = { ca: 'workerCaFile', cert: 'workerClientCert', key: 'workerClientKey' } as const

/**
 * The certificates and the key that the router uses towards all https workers.
 *
 * @throws ConfigError that names each file which cannot be read or is not what it should be
 */
export function readWorkerTls(config: Config): TlsFiles | undefined {
  const { tls, faults } = readTlsFiles(pathsOf(config))
  if (faults.length > 0) throw new ConfigError(faults.map(settingFault))
  return tls
}

/** What is wrong with the files that the configuration names for all workers. */
export function workerTlsFaults(config: Config): Fault[] {
  return readTlsFiles(pathsOf(config)).faults.map(settingFault)
}

function pathsOf(config: Config): TlsPaths {
  return { ca: config.workerCaFile, cert: config.workerClientCert, key: config.workerClientKey }
}

function settingFault({ part, path, problem }: TlsFault): Fault {
  return { name: `--${kebabCase(settings[part])}`, origin: path, problem }
}

/** Reads the files and tries each; `tls` is undefined when no path is given. */
export function readTlsFiles(paths: TlsPaths): {
  readonly tls: TlsFiles | undefined
  readonly faults: TlsFault[]
} {
  const read: Record<string, string> = {}
  const faults: TlsFault[] = []
  for (const part of ['ca', 'cert', 'key'] as const) {
    const path = paths[part]
    if (path === undefined) continue
    try {
      read[part] = readFileSync(path, 'utf8')
      if (!/-----BEGIN /.test(read[part])) throw new Error('it is no PEM file')
      // A key is tried together with its certificate.
      if (part !== 'key') createSecureContext({ [part]: read[part] })
      else createSecureContext(read)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      faults.push({ part, path, problem: code === 'ENOENT' ? 'there is no such file' : message })
    }
  }
  return { tls: Object.keys(read).length === 0 ? undefined : read, faults }
}
