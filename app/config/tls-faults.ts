import { listenerTlsFaults } from './listener-tls.ts'
import type { ConfigProblem } from './problem.ts'
import type { Config } from './settings.ts'
import { workerTlsFaults } from './worker-tls.ts'

/** What is wrong with the certificates and keys that the configuration names. */
export function tlsFaults(config: Config): ConfigProblem[] {
  return [...listenerTlsFaults(config), ...workerTlsFaults(config)]
}

/** The files that are read anew when they change. */
export function tlsFiles(config: Config): string[] {
  const paths = [
    ...[config.tlsCertFile, config.tlsKeyFile, config.tlsClientCaFile],
    ...[config.prometheusTlsCertFile, config.prometheusTlsKeyFile, config.prometheusTlsClientCaFile],
    ...[config.workerCaFile, config.workerClientCert, config.workerClientKey],
  ]
  return [...new Set(paths.filter((path) => path !== undefined))]
}
