import { Breaker, type BreakerOptions } from '../../policies/resilience/breaker.ts'
import { byModel } from '../../policies/selection/by-model.ts'
import { createPolicy } from '../../policies/selection/index.ts'
import type { SelectionContext, SelectionPolicy } from '../../policies/selection/policy.ts'
import { changedSettings } from '../config/changes.ts'
import { discovery as discoverySettings } from '../config/settings/discovery.ts'
import { breaker as breakerSettings } from '../config/settings/resilience.ts'
import type { Config, SettingKey } from '../config/settings.ts'
import { changedParts, readWorkerTls } from '../config/worker-tls.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Observer } from '../telemetry/observer.ts'
import type { HeaderFields, HttpClient } from '../upstream/http-client.ts'
import type { Discovery } from '../workers/discovery/discovery.ts'
import { createDiscovery } from '../workers/discovery/index.ts'
import { LetGo } from '../workers/let-go.ts'
import { Pool } from '../workers/pool.ts'
import { Prober } from '../workers/prober.ts'
import { Ranks } from '../workers/ranks.ts'
import { WorkerRegistry } from '../workers/registry.ts'

/** Idle connections to workers end before uvicorn closes them after 5 s, perhaps under a request on its way. */
const idleSocketMs = 4000
const maxHeadBytes = 64 * 1024

export interface FleetOptions {
  readonly config: Config
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly runtime: Runtime
  readonly observer: Observer
  /** Called after each change that an operator has made. */
  readonly onOperatorChange?: (() => void) | undefined
}

/** The workers, all that is known about them, and the connections to them: what a new configuration leaves as it is. */
export interface Fleet {
  readonly client: HttpClient
  /** The router's own key for the workers, sent with probes. */
  readonly headers: HeaderFields
  readonly pool: Pool
  readonly prober: Prober
  readonly registry: WorkerRegistry
  /** A worker may yet turn out to be available: not every worker has been probed for the first time. */
  isStarting(): boolean
  /**
   * Checks another configuration and makes what it needs; the function that is returned takes it over, and cannot fail.
   * It says which settings name files that are others than before.
   *
   * @throws ConfigError, TypeError where the configuration cannot be had
   */
  prepare(next: Config): () => readonly SettingKey[]
  /** Starts to look for workers and to probe them. */
  start(): void
  /** Stops that, and closes the connections when `idle` resolves. */
  stop(idle: Promise<unknown>): Promise<void>
}

/**
 * Makes the fleet that a configuration describes. It lives on when the configuration changes: a setting that is read in
 * here must be named in `prepare` too, or be marked `restart: true`.
 *
 * @throws ConfigError when a TLS file for workers is not what it should be
 */
export function createFleet(options: FleetOptions): Fleet {
  const { clock, random, runtime, observer } = options
  const now = () => clock.now()
  let workerTls = readWorkerTls(options.config)
  const client = runtime.createClient({
    connectTimeoutMs: options.config.connectTimeoutMs,
    idleSocketMs,
    maxHeadBytes,
    tls: workerTls,
  })
  let config = options.config
  let headers = workerHeaders(config)
  const newPolicy = policyFactory(config, { random, now })
  const policy = newPolicy()
  const ranks = config.intraNodeDataParallelSize
  const pool: Pool = new Pool({
    policy,
    ranks: ranks > 1 ? new Ranks(ranks, newPolicy) : undefined,
    createBreaker: breakerFactory(config),
    maxInFlightPerWorker: capOf(config),
    now,
    random,
    events: observer,
  })
  const letGo = new LetGo(pool, clock)
  const prober = new Prober(client, {
    clock,
    random,
    headers,
    ...probeTimes(config),
    readsEngine: policy.reads?.engine,
    events: {
      healthChanged(worker, from, to) {
        observer.healthChanged(worker, from, to)
        letGo.healthChanged(worker)
        if (to.name === 'unhealthy' && to.cause === 'refused') pool.restarted(worker)
        if (to.name === 'healthy') pool.startSlowly(worker)
      },
      notUp: (worker) => observer.notUp(worker),
      modelsLocked: (worker) => observer.modelsLocked(worker),
    },
  })
  const registry = new WorkerRegistry({
    pool,
    prober,
    allow: config.workerUrlAllow,
    events: observer,
    setTls: (origin, tls) => client.setTls(origin, tls),
    onOperatorChange: options.onOperatorChange,
  })
  const parts = { registry, clock, random, events: observer }
  let discovery = createDiscovery({ ...parts, config })
  let started = false
  observer.follow(discovery, registry)

  function breakerFactory(wanted: Config): (url: string) => Breaker | undefined {
    return (url) => createBreaker(wanted, { now, random, onTransition: onTransition(url) })
  }

  /** Other sources in place of those there are; what a source that is gone has named goes with it. */
  function rediscover(next: Discovery): void {
    const before = discovery.status().map(({ source }) => source)
    discovery.stop()
    discovery = next
    if (started) discovery.start()
    const now = new Set(discovery.status().map(({ source }) => source))
    for (const source of before) if (!now.has(source)) registry.assign(source, [])
    observer.follow(discovery, registry)
  }

  function prepare(next: Config): () => readonly SettingKey[] {
    const nextTls = readWorkerTls(next)
    const renewed = changedParts(workerTls, nextTls)
    const changed = new Set(changedSettings(config, next))
    const any = (keys: Iterable<SettingKey>): boolean => [...keys].some((key) => changed.has(key))
    const createPolicy = any(selectionKeys) ? policyFactory(next, { random, now }) : undefined
    const nextPolicy = createPolicy?.()
    const nextDiscovery = any(discoveryKeys) ? createDiscovery({ ...parts, config: next }) : undefined
    return () => {
      config = next
      workerTls = nextTls
      if (renewed.length > 0) client.setTls(undefined, nextTls)
      headers = workerHeaders(next)
      prober.reconfigure({ ...probeTimes(next), headers })
      registry.allow = next.workerUrlAllow
      pool.reconfigure({
        ...(nextPolicy !== undefined && { policy: nextPolicy, createPolicy }),
        ...(any(breakerKeys) && { createBreaker: breakerFactory(next) }),
        ...(changed.has('maxConcurrentRequestsPerWorker') && { maxInFlightPerWorker: capOf(next) }),
      })
      if (nextPolicy !== undefined) prober.reconfigure({ readsEngine: nextPolicy.reads?.engine })
      if (nextDiscovery !== undefined) rediscover(nextDiscovery)
      return renewed
    }
  }

  function onTransition(url: string): NonNullable<BreakerOptions['onTransition']> {
    return (from, to, reason) => {
      observer.breakerMoved(url, from, to, reason)
      const worker = registry.find(url)
      if (worker === undefined) return
      if (to === 'closed') pool.startSlowly(worker)
      // It may be gone altogether: then probes notice its return long before the open time is over.
      else if (to === 'open') prober.probeSoon(worker)
    }
  }

  return {
    client,
    get headers() {
      return headers
    },
    prepare,
    pool,
    prober,
    registry,
    isStarting: () => pool.isUnknown || (pool.workers.length === 0 && discovery.isStarting),
    start() {
      started = true
      discovery.start()
    },
    async stop(idle) {
      started = false
      discovery.stop()
      prober.stop()
      await idle
      await client.close()
    },
  }
}

const discoveryKeys: readonly SettingKey[] = [
  'workerUrls',
  ...(Object.keys(discoverySettings) as SettingKey[]),
]
const breakerKeys = Object.keys(breakerSettings) as SettingKey[]
const selectionKeys: readonly SettingKey[] = [
  ...(['policy', 'modelPolicy', 'cacheThreshold', 'balanceAbsThreshold', 'balanceRelThreshold'] as const),
  ...(['evictionInterval', 'maxTreeSize', 'sessionExpirationSecs'] as const),
]

function workerHeaders({ apiKey }: Config): HeaderFields {
  return apiKey === undefined ? [] : [['authorization', `Bearer ${apiKey}`]]
}

function capOf({ maxConcurrentRequestsPerWorker: cap }: Config): number {
  return cap ?? Number.POSITIVE_INFINITY
}

function probeTimes(config: Config) {
  return {
    path: config.healthCheckEndpoint,
    intervalMs: config.healthCheckIntervalSecs * 1000,
    timeoutMs: config.healthCheckTimeoutSecs * 1000,
    failureThreshold: config.healthFailureThreshold,
    successThreshold: config.healthSuccessThreshold,
    checkIntervalMs: config.workerStartupCheckInterval * 1000,
    stallMs: config.workerStallTimeoutSecs * 1000,
  }
}

/** Makes the policy that the configuration names, with those of single models. */
function policyFactory(
  config: Config,
  { random, now }: Pick<SelectionContext, 'random' | 'now'>,
): () => SelectionPolicy {
  const context = {
    ...{ own: config.selectionPolicies, random, now },
    settings: {
      cacheThreshold: config.cacheThreshold,
      balanceAbs: config.balanceAbsThreshold,
      balanceRel: config.balanceRelThreshold,
      evictionMs: config.evictionInterval * 1000,
      maxTreeSize: config.maxTreeSize,
      sessionMs: config.sessionExpirationSecs * 1000,
    },
  }
  return () => {
    const own = config.modelPolicy.map((entry) => {
      const at = entry.lastIndexOf('=')
      return [entry.slice(0, at), createPolicy(entry.slice(at + 1), context)] as const
    })
    return byModel(createPolicy(config.policy, context), new Map(own))
  }
}

function createBreaker(
  config: Config,
  parts: Pick<BreakerOptions, 'now' | 'random' | 'onTransition'>,
): Breaker | undefined {
  if (config.disableCircuitBreaker) return undefined
  return new Breaker({
    failureThreshold: config.cbFailureThreshold,
    successThreshold: config.cbSuccessThreshold,
    openMs: config.cbTimeoutDurationSecs * 1000,
    failureRate: config.cbFailureRateThreshold,
    minimumRequests: config.cbMinimumRequests,
    windowMs: config.cbWindowDurationSecs * 1000,
    ...parts,
  })
}
