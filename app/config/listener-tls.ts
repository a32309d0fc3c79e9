import { readServerTls, type ServerTls, type ServerTlsFault } from '../runtime/server-tls.ts'
import { kebabCase } from './kinds/setting.ts'
import { ConfigError, type ConfigProblem } from './problem.ts'
import type { Config } from './settings.ts'

/** A listener: `api`, or `operations`. */
export type ListenerName = keyof typeof keys

const keys = {
  api: { cert: 'tlsCertFile', key: 'tlsKeyFile', clientCa: 'tlsClientCaFile' },
  operations: {
    cert: 'prometheusTlsCertFile',
    key: 'prometheusTlsKeyFile',
    clientCa: 'prometheusTlsClientCaFile',
  },
} as const

/**
 * The certificate, key and authorities of a listener; undefined where it speaks plain HTTP.
 *
 * @throws ConfigError that names each file which cannot be read or is not what it should be
 */
export function readListenerTls(config: Config, listener: ListenerName): ServerTls | undefined {
  const read = readFiles(config, listener)
  if (read === undefined) return undefined
  if ('tls' in read) return read.tls
  throw new ConfigError(faultsOf(read.faults, listener))
}

/** What is wrong with the files of both listeners. */
export function listenerTlsFaults(config: Config): ConfigProblem[] {
  return (['api', 'operations'] as const).flatMap((listener) => {
    const read = readFiles(config, listener)
    return read === undefined || 'tls' in read ? [] : faultsOf(read.faults, listener)
  })
}

function readFiles(config: Config, listener: ListenerName) {
  const { cert, key, clientCa } = keys[listener]
  const paths = { cert: config[cert], key: config[key], clientCa: config[clientCa] }
  if (paths.cert === undefined || paths.key === undefined) return undefined
  return readServerTls({ ...paths, cert: paths.cert, key: paths.key })
}

function faultsOf(faults: readonly ServerTlsFault[], listener: ListenerName): ConfigProblem[] {
  return faults.map(({ part, path, problem, hint }) => ({
    name: `--${kebabCase(keys[listener][part])}`,
    origin: path,
    problem,
    hint,
  }))
}
