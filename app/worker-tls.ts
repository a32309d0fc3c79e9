import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { ConfigError, type Fault } from './config/fault.ts'
import { kebabCase } from './config/setting.ts'
import type { Config } from './config/settings.ts'
import type { TlsFiles } from './runtime/http-client.ts'

const files = { ca: 'workerCaFile', cert: 'workerClientCert', key: 'workerClientKey' } as const

/**
 * What the router shows to https workers, and whom it trusts there.
 *
 * @throws ConfigError that names each file which cannot be read or is not what it should be
 */
export function readWorkerTls(config: Config): TlsFiles | undefined {
  const read: Record<string, string> = {}
  const faults: Fault[] = []
  for (const [part, setting] of Object.entries(files)) {
    const path = config[setting]
    if (path === undefined) continue
    try {
      read[part] = readFileSync(path, 'utf8')
      if (!/-----BEGIN /.test(read[part])) throw new Error('it is no PEM file')
      // A key is tried together with its certificate.
      if (part !== 'key') createSecureContext({ [part]: read[part] })
      else createSecureContext(read)
    } catch (error) {
      faults.push(faultOf(setting, path, error))
    }
  }
  if (faults.length > 0) throw new ConfigError(faults)
  return Object.keys(read).length === 0 ? undefined : read
}

function faultOf(setting: string, path: string, error: unknown): Fault {
  const { code, message } = error as NodeJS.ErrnoException
  const name = `--${kebabCase(setting)}`
  return { name, origin: path, problem: code === 'ENOENT' ? 'there is no such file' : message }
}
