import { certifiedTenants } from './key-entries.ts'
import { listenerTlsFaults } from './listener-tls.ts'
import type { ConfigProblem } from './problem.ts'
import type { Config } from './settings.ts'
import { workerTlsFaults } from './worker-tls.ts'

/** What is wrong with the certificates and keys that the configuration names, where this process is to use them. */
export function tlsFaults(config: Config): ConfigProblem[] {
  const tells = process.versions.bun === undefined
  return [...listenerTlsFaults(config), ...workerTlsFaults(config), ...certificateFaults(config, tells)]
}

/**
 * Tenants that nobody could ever be, which must not be found out by a client that is refused.
 * @param tells whether the runtime says which certificate a client has shown
 */
export function certificateFaults(config: Config, tells: boolean): ConfigProblem[] {
  if (tells) return []
  return certifiedTenants(config).map((tenant) => ({
    name: 'keys',
    origin: `entry ${tenant}, certificate`,
    problem: 'Bun does not tell which certificate a client has shown, so that none can name a tenant',
    hint: 'run the router on Node, or give the tenant a key',
  }))
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
