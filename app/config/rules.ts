import { selectionPolicies } from '../../policies/selection/index.ts'
import { certifiedTenants } from './key-entries.ts'
import { nearest } from './kinds/nearest.ts'
import { kebabCase } from './kinds/setting.ts'
import { canonicalUrl } from './kinds/worker-url.ts'
import { got } from './problem.ts'
import type { tls } from './settings/tls.ts'
import type { Config, SettingKey } from './settings.ts'

/** What a rule found: the setting to name, and the words of the fault. */
export interface Finding {
  readonly key: SettingKey
  readonly problem: string
  readonly allowed?: string
  readonly hint?: string | undefined
}

/** A check over settings together. It runs when each of them is right by itself. */
export interface Rule {
  readonly keys: readonly SettingKey[]
  check(config: Config): Iterable<Finding>
}

type FileKey = keyof typeof tls | 'workerClientCert' | 'workerClientKey'

const wildcards = ['0.0.0.0', '::', '']
const loopback = ['127.0.0.1', 'localhost', '::1', ...wildcards]

export const rules: readonly Rule[] = [
  {
    keys: ['policy'],
    *check({ policy, selectionPolicies: own }) {
      const names = [...new Set([...Object.keys(selectionPolicies), ...Object.keys(own)])]
      if (names.includes(policy)) return
      const meant = nearest(policy.replaceAll('-', '_'), names)
      yield {
        key: 'policy',
        problem: got(policy),
        allowed: names.join(', '),
        hint: meant === undefined ? undefined : `did you mean "${meant}"?`,
      }
    },
  },
  {
    keys: ['modelPolicy'],
    *check({ modelPolicy, selectionPolicies: own }) {
      const names = [...new Set([...Object.keys(selectionPolicies), ...Object.keys(own)])]
      for (const entry of modelPolicy) {
        const name = entry.slice(entry.lastIndexOf('=') + 1)
        if (names.includes(name)) continue
        const meant = nearest(name.replaceAll('-', '_'), names)
        const hint = meant === undefined ? undefined : `did you mean "${meant}"?`
        yield {
          key: 'modelPolicy',
          problem: `${got(entry)}: no policy is called so`,
          allowed: names.join(', '),
          hint,
        }
      }
    },
  },
  {
    keys: ['modelAlias', 'modelFallback'],
    *check({ modelAlias, modelFallback }) {
      const aliases = new Set(modelAlias.map((entry) => entry.slice(0, entry.indexOf('='))))
      for (const entry of modelAlias) {
        const target = entry.slice(entry.indexOf('=') + 1).replace(/@[^@]*$/, '')
        if (aliases.has(target)) yield { key: 'modelAlias', problem: `${got(entry)}: an alias of an alias` }
      }
      for (const entry of modelFallback) {
        const [name, other] = entry.split('=')
        if (name === other)
          yield { key: 'modelFallback', problem: `${got(entry)}: a model is no fallback of its own` }
      }
    },
  },
  {
    keys: ['workerUrls'],
    *check({ workerUrls }) {
      const seen = new Map<string, string>()
      for (const url of workerUrls) {
        const before = seen.get(canonicalUrl(url))
        if (before === undefined) seen.set(canonicalUrl(url), url)
        else yield { key: 'workerUrls', problem: `"${url}" is given twice`, hint: 'name each worker once' }
      }
    },
  },
  {
    // The default port is a usual port of examples for vLLM: such a router would send its requests to itself.
    keys: ['workerUrls', 'host', 'port', 'prometheusHost', 'prometheusPort'],
    *check(config) {
      for (const written of config.workerUrls) {
        const url = new URL(written)
        const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
        const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80))
        const api = port === config.port && meets(config.host, host)
        if (!api && !(port === config.prometheusPort && meets(config.prometheusHost, host))) continue
        const hint = `give the router another --${api ? 'port' : 'prometheus-port'}`
        yield { key: 'workerUrls', problem: `"${written}" is this router itself`, hint }
      }
    },
  },
  {
    keys: ['demo', 'workerUrls'],
    *check({ demo, workerUrls }) {
      if (demo === 0 || workerUrls.length === 0) return
      yield {
        key: 'demo',
        problem: 'cannot be combined with --worker-urls',
        hint: 'leave one of them out',
      }
    },
  },
  {
    keys: ['serviceDiscovery', 'selector', 'serviceDiscoveryService'],
    *check({ serviceDiscovery, selector, serviceDiscoveryService: services }) {
      if (!serviceDiscovery) return
      if (selector.length > 0 && services.length > 0) {
        const problem = 'cannot be combined with --selector'
        yield { key: 'serviceDiscoveryService', problem, hint: 'leave one of them out' }
      }
      if (selector.length > 0 || services.length > 0) return
      const hint = 'add --selector app=vllm, or --service-discovery-service vllm'
      yield { key: 'serviceDiscovery', problem: 'it does not say which pods', hint }
    },
  },
  {
    keys: ['host', 'port', 'prometheusHost', 'prometheusPort'],
    *check({ host, port, prometheusHost, prometheusPort }) {
      if (port === 0 || port !== prometheusPort || !meets(host, prometheusHost)) return
      yield { key: 'prometheusPort', problem: `${port} is the port of the API too`, hint: 'choose another' }
    },
  },
  {
    keys: ['retryInitialBackoffMs', 'retryMaxBackoffMs'],
    *check({ retryInitialBackoffMs: first, retryMaxBackoffMs: longest }) {
      if (first <= longest) return
      const problem = `${first} ms is more than --retry-max-backoff-ms (${longest} ms)`
      yield { key: 'retryInitialBackoffMs', problem }
    },
  },
  {
    keys: ['shutdownSettleSecs', 'shutdownGraceSecs'],
    *check({ shutdownSettleSecs: settle, shutdownGraceSecs: grace }) {
      if (grace >= settle) return
      const problem = `${grace} s is less than --shutdown-settle-secs (${settle} s)`
      yield { key: 'shutdownGraceSecs', problem, hint: 'the grace time includes the settle time' }
    },
  },
  {
    // How many `auto` is turns out at the start: no more than can share the cap. From then on it stays.
    keys: ['processes', 'maxConcurrentRequestsPerWorker'],
    *check(config) {
      if (config.processes !== 'auto') yield* sharedCap(config, config.processes)
    },
  },
  {
    keys: ['slotsForHighPriority', 'maxConcurrentRequests'],
    *check({ slotsForHighPriority: kept, maxConcurrentRequests: cap }) {
      const key = 'slotsForHighPriority'
      if (kept === 0) return
      if (cap === undefined)
        yield { key, problem: `${kept}: it needs --max-concurrent-requests, of which it is a part` }
      else if (kept >= cap) {
        const problem = `${kept} is not less than --max-concurrent-requests (${cap})`
        yield { key, problem, hint: 'requests of class normal and low need at least 1' }
      }
    },
  },
  together('workerClientCert', 'workerClientKey'),
  together('tlsCertFile', 'tlsKeyFile', 'tlsClientCaFile'),
  together('prometheusTlsCertFile', 'prometheusTlsKeyFile', 'prometheusTlsClientCaFile'),
  {
    keys: ['tlsClientCaFile', 'keysFile'],
    *check(config) {
      const [name] = certifiedTenants(config)
      if (name === undefined || config.tlsClientCaFile !== undefined) return
      const problem = `it is missing, and the certificate of ${name} in the list of keys needs it`
      yield { key: 'tlsClientCaFile', problem, hint: 'else no client is asked for a certificate' }
    },
  },
  {
    keys: ['jwtJwksUrl', 'jwtIssuer', 'jwtAudience', 'keysFile'],
    *check({ jwtJwksUrl: url, jwtIssuer, jwtAudience, keys, keysFile }) {
      if (url === undefined) {
        const problem = 'it needs --jwt-jwks-url'
        if (jwtIssuer !== undefined) yield { key: 'jwtIssuer', problem }
        if (jwtAudience.length > 0) yield { key: 'jwtAudience', problem }
        return
      }
      const missing = 'it is missing, and --jwt-jwks-url needs it'
      const hint = 'else a token that was made for somebody else would let its owner in'
      if (jwtIssuer === undefined) yield { key: 'jwtIssuer', problem: missing, hint }
      if (jwtAudience.length === 0) yield { key: 'jwtAudience', problem: missing, hint }
      if (keys !== undefined || keysFile !== undefined) return
      const problem = 'no token could be let in'
      yield { key: 'jwtJwksUrl', problem, hint: 'name in keys, or in --keys-file, whom tokens may stand for' }
    },
  },
  {
    keys: ['adminApiKey', 'routerApiKeys'],
    *check({ adminApiKey, routerApiKeys }) {
      if (adminApiKey === undefined || !routerApiKeys.includes(adminApiKey)) return
      const problem = 'it is also one of --router-api-keys'
      yield { key: 'adminApiKey', problem, hint: 'every client would be an administrator' }
    },
  },
]

/** A certificate and its key, and what stands for nothing without them. */
function together(cert: FileKey, key: FileKey, clientCa?: FileKey): Rule {
  return {
    keys: clientCa === undefined ? [cert, key] : [cert, key, clientCa],
    *check(config) {
      const [withCert, withKey] = [config[cert] !== undefined, config[key] !== undefined]
      const flag = (name: FileKey) => `--${kebabCase(name)}`
      if (withCert && !withKey) yield { key, problem: `it is missing, and ${flag(cert)} needs it` }
      if (!withCert && withKey) yield { key: cert, problem: `it is missing, and ${flag(key)} needs it` }
      if (clientCa !== undefined && config[clientCa] !== undefined && !withCert && !withKey)
        yield { key: cert, problem: `it is missing, and ${flag(clientCa)} needs it` }
    },
  }
}

/** Each process gets its share of the cap: a worker is chosen without asking anybody. */
export function* sharedCap(
  { maxConcurrentRequestsPerWorker: cap }: Config,
  processes: number,
): Iterable<Finding> {
  if (cap === undefined || cap >= processes) return
  const problem = `${cap} is less than --processes (${processes})`
  yield { key: 'maxConcurrentRequestsPerWorker', problem, hint: 'each process needs at least 1' }
}

/** Whether a listener on `listening` takes connections to `host`, as far as the names tell. */
function meets(listening: string, host: string): boolean {
  if (listening === host) return true
  if (wildcards.includes(listening)) return loopback.includes(host)
  if (wildcards.includes(host)) return loopback.includes(listening)
  return loopback.includes(listening) && loopback.includes(host)
}
