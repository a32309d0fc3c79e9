import { type Environment, environment } from '../../config/environment.ts'
import { ConfigError } from '../../config/problem.ts'
import type { Config } from '../../config/settings.ts'
import type { Clock } from '../../runtime/clock.ts'
import { type Get, get } from '../../upstream/get.ts'
import { staticWorkers, type WorkerRegistry } from '../registry.ts'
import type { Source } from '../source.ts'
import { Discovery, type DiscoveryEvents } from './discovery.ts'
import { dnsSource, type Resolver, systemResolver } from './dns-source.ts'
import { fileSource } from './file-source.ts'
import { ApiServer } from './kubernetes/api-server.ts'
import { kubernetesSource } from './kubernetes/kubernetes-source.ts'
import { staticSource } from './static-source.ts'

export interface CreateDiscoveryOptions {
  readonly config: Config
  readonly registry: Pick<WorkerRegistry, 'assign'>
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly events: DiscoveryEvents
  /** In place of the network and the environment of the process. */
  readonly get?: Get
  readonly resolver?: Resolver
  readonly env?: Environment
}

/**
 * Every source of workers that the configuration names, side by side: a worker stays as long as one of them knows it.
 * @throws ConfigError when Kubernetes is asked for where there is none
 */
export function createDiscovery(options: CreateDiscoveryOptions): Discovery {
  const { registry, clock, events } = options
  return new Discovery({
    sources: [...sources(options)],
    assign: (source, members) => registry.assign(source, members),
    clock,
    events,
  })
}

function* sources(options: CreateDiscoveryOptions): Generator<Source, void> {
  const { config, clock, random, resolver = systemResolver } = options
  const { workerUrls, workerUrlsFile, workerDns, workerDnsIntervalSecs } = config
  if (workerUrls.length > 0) yield staticSource(staticWorkers, workerUrls)
  if (workerUrlsFile !== undefined) yield fileSource({ path: workerUrlsFile, clock, random })
  for (const name of workerDns)
    yield dnsSource({ name, clock, random, resolver, intervalMs: workerDnsIntervalSecs * 1000 })
  if (config.serviceDiscovery) yield kubernetes(options)
}

function kubernetes({ config, clock, random, get: transport = get, env }: CreateDiscoveryOptions): Source {
  const { selector: labels, serviceDiscoveryService: services } = config
  return kubernetesSource({
    api: new ApiServer({
      url: config.serviceDiscoveryApiServer ?? apiServerOfPod(env ?? environment()),
      credentials: config.serviceDiscoveryCredentials,
      get: transport,
    }),
    workers: services.length > 0 ? { services } : { labels },
    namespace: config.serviceDiscoveryNamespace,
    port: config.serviceDiscoveryPort,
    relistMs: config.serviceDiscoveryRelistSecs * 1000,
    clock,
    random,
  })
}

/** Kubernetes tells every pod where its API server is. */
function apiServerOfPod(env: Environment): string {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env
  if (host !== undefined && host !== '') return `https://${host.includes(':') ? `[${host}]` : host}:${port}`
  throw new ConfigError([
    {
      name: '--service-discovery',
      origin: 'environment KUBERNETES_SERVICE_HOST',
      problem: 'not set: this is no pod of a Kubernetes cluster',
      hint: 'give the address of its API with --service-discovery-api-server',
    },
  ])
}
