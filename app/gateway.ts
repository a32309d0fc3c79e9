import type { Admission } from '../middleware/admission.ts'
import { AdmissionQueue } from '../middleware/admission-queue.ts'
import { HeldBytes } from '../middleware/held-bytes.ts'
import type { RateLimiter } from '../middleware/rate-limit.ts'
import { TokenBucket } from '../middleware/token-bucket.ts'
import { createPolicy } from '../policies/selection/index.ts'
import { type Clock, systemClock } from './clock.ts'
import { ConfigError, type Fault } from './config/fault.ts'
import { resolveOptions } from './config/resolve-options.ts'
import type { Config, ConfigInput } from './config/settings.ts'
import { readWorkerTls } from './config/tls-files.ts'
import { createBreaker, type Transition } from './create-breaker.ts'
import { createProber } from './create-prober.ts'
import { createRelay } from './create-relay.ts'
import { createApi } from './http.ts'
import { Lifecycle } from './lifecycle.ts'
import { LocalControl } from './local-control.ts'
import { createOperations } from './operations.ts'
import type { RouterControl } from './router-control.ts'
import { bufferBound } from './runtime/available-memory.ts'
import { detectRuntime } from './runtime/detect.ts'
import type { HeaderFields } from './runtime/http-client.ts'
import { plainConnection } from './runtime/plain-connection.ts'
import type { FetchHandler, Listener, Runtime } from './runtime/runtime.ts'
import { connectionsFull } from './spare-connections.ts'
import { Accounting } from './telemetry/accounting.ts'
import { type Log, silentLog } from './telemetry/log.ts'
import { createMetrics, exposition, type Metrics } from './telemetry/metrics.ts'
import { Observer } from './telemetry/observer.ts'
import { type Samples, samplesOf } from './telemetry/process-samples.ts'
import { version } from './version.ts'
import { WorkerControl } from './workers/control.ts'
import { createDiscovery } from './workers/discovery/index.ts'
import { LetGo } from './workers/let-go.ts'
import { Pool } from './workers/pool.ts'
import type { ProbeEvents } from './workers/probe.ts'
import { WorkerRegistry } from './workers/registry.ts'

/** Idle connections to workers end before uvicorn closes them after 5 s, perhaps under a request on its way. */
const idleSocketMs = 4000
const maxHeadBytes = 64 * 1024
/** Longest time in milliseconds that `ready` takes, and between two looks. */
const readyMs = 2000
const lookMs = 10
/** Milliseconds for the last bytes of answers to get from our sockets to their clients. */
const farewellMs = 2000

const severalProcesses: Fault = {
  name: 'processes',
  origin: 'option processes',
  problem: 'a gateway is one process; only the program vllm-router starts several',
  allowed: '1',
}

/** What a program may bring along instead of the real thing. */
export interface GatewayParts {
  readonly log?: Log
  readonly clock?: Clock
  /** Uniform in [0, 1). */
  readonly random?: () => number
  readonly runtime?: Runtime
  /** The program's own, for one of several processes: it shares the API's port and has no operations listener. */
  readonly shared?: SharedParts
}

/** What one of several processes has together with the others; its supervisor keeps it. */
export interface SharedParts {
  /** Undefined: there is no cap. */
  readonly admission: Admission | undefined
  /** Undefined: there is no limit. */
  readonly limiter: RateLimiter | undefined
  /** What probes and admin routes on the API listener show and do: that of all processes. */
  readonly control: RouterControl
  readonly onOperatorWord: () => void
}

export interface Gateway {
  readonly config: Config
  readonly metrics: Metrics
  readonly registry: WorkerRegistry
  /** What operators see of this router and do to it. */
  readonly control: RouterControl
  /** Answers one API request; for tests and for servers of your own. `start` must have been called, or `probe`. */
  fetch(request: Request): Promise<Response>
  /** The same for the operations listener. */
  operations(request: Request): Promise<Response>
  /** What `GET /metrics` shows, as data. */
  samples(): Promise<Samples>
  /** Starts to probe the workers, without listening. */
  probe(): void
  /** Resolves when every worker has been probed once, after two seconds at the latest: requests find who is there. */
  ready(): Promise<void>
  /**
   * Starts to probe and to listen; resolves with the addresses ('' for a listener that it does not have) when the gateway
   * is `ready`.
   * @param options.ready false does not wait for that
   * @throws ListenError when an address cannot be had
   */
  start(options?: {
    readonly ready?: boolean
  }): Promise<{ readonly api: string; readonly operations: string }>
  /**
   * Drains as after SIGTERM; resolves when the last request has ended and everything is closed.
   * @param options.settle false leaves out the time in which new requests are still taken
   */
  stop(options?: { readonly settle?: boolean }): Promise<void>
  /** Closes everything at once. */
  close(): Promise<void>
}

/**
 * A whole router from a configuration: the only place where the parts are wired together.
 *
 * @param options any part of the configuration; docs/configuration.md lists the keys and defaults
 * @throws ConfigError with every fault of the options
 */
export async function createGateway(options: ConfigInput = {}, parts: GatewayParts = {}): Promise<Gateway> {
  const config = resolveOptions(options)
  if (config.processes !== 1) throw new ConfigError([severalProcesses])
  const { log = silentLog(), clock = systemClock, random = Math.random, shared } = parts
  const runtime = parts.runtime ?? (await detectRuntime())
  const now = () => clock.now()

  const metrics = createMetrics()
  metrics.buildInfo.set({ version, runtime: runtime.name, runtime_version: runtime.version }, 1)
  metrics.processes.set(1)
  const observer = new Observer({ metrics, log, policy: config.policy })
  const accounting = new Accounting({ metrics, log, clock })
  const lifecycle = new Lifecycle({
    accounting,
    clock,
    settleMs: config.shutdownSettleSecs * 1000,
    graceMs: config.shutdownGraceSecs * 1000,
  })

  const client = runtime.createClient({
    connectTimeoutMs: config.connectTimeoutMs,
    idleSocketMs,
    maxHeadBytes,
    tls: readWorkerTls(config),
  })
  const workerHeaders: HeaderFields =
    config.apiKey === undefined ? [] : [['authorization', `Bearer ${config.apiKey}`]]
  function onTransition(url: string, ...[from, to, reason]: Transition): void {
    observer.breakerMoved(url, from, to, reason)
    const worker = registry.find(url)
    if (worker === undefined) return
    if (to === 'closed') pool.welcome(worker)
    // It may be gone altogether: then probes notice its return long before the open time is over.
    else if (to === 'open') prober.probeSoon(worker)
  }
  const pool: Pool = new Pool({
    policy: createPolicy(config.policy, { own: config.selectionPolicies, random }),
    createBreaker: (url) => createBreaker(url, { config, now, random, onTransition }),
    maxInFlightPerWorker: config.maxConcurrentRequestsPerWorker ?? Number.POSITIVE_INFINITY,
    now,
    random,
    events: observer,
  })
  const letGo = new LetGo(pool, clock)
  const probeEvents: ProbeEvents = {
    healthChanged(worker, from, to) {
      observer.healthChanged(worker, from, to)
      letGo.healthChanged(worker)
      if (to.name === 'healthy') pool.welcome(worker)
    },
    notUp: (worker) => observer.notUp(worker),
    modelsLocked: (worker) => observer.modelsLocked(worker),
  }
  const prober = createProber({ config, clock, random, client, events: probeEvents, headers: workerHeaders })
  const registry: WorkerRegistry = new WorkerRegistry({
    pool,
    prober,
    allow: config.workerUrlAllow,
    events: observer,
    setTls: (origin, tls) => client.setTls(origin, tls),
    onOperatorWord: shared?.onOperatorWord,
  })
  const discovery = createDiscovery({ config, registry, clock, random, events: observer })
  observer.follow(discovery, registry)
  const workerControl = new WorkerControl({
    registry,
    client,
    clock,
    headers: workerHeaders,
    startupTimeoutMs: config.workerStartupTimeoutSecs * 1000,
  })
  const control = new LocalControl({ control: workerControl, lifecycle })
  const queue = new AdmissionQueue({
    maxConcurrent: config.maxConcurrentRequests,
    queueSize: config.queueSize,
    queueTimeoutMs: config.queueTimeoutSecs * 1000,
    observe: observer.admission,
  })
  const perSecond = config.rateLimitTokensPerSecond
  const limiter =
    shared?.limiter ?? (perSecond === undefined ? undefined : new TokenBucket({ perSecond, now }))

  const held = new HeldBytes({
    limit: bufferBound(config.maxBufferedBytes),
    onFull: () => observer.buffersFull(),
  })
  /** Somebody may yet turn out to be available: not everyone has been asked for the first time. */
  const isStarting = () => pool.isUnknown || (pool.workers.length === 0 && discovery.isStarting)
  const refreshGauges = () => observer.refreshGauges(pool, held.held)

  const listeners: Listener[] = []
  const api = createApi({
    config,
    full: connectionsFull(client, listeners),
    accounting,
    lifecycle,
    clock,
    log,
    held,
    queue: shared?.admission ?? queue,
    rate: limiter && { limiter, onLimited: () => observer.rateLimited() },
    control: shared?.control ?? control,
    inference: createRelay({
      ...{ config, clock, random, client },
      ...{ pool, prober, isStarting, metrics, observer },
    }),
  })
  const operations = createOperations({
    config,
    control,
    log,
    exposition() {
      refreshGauges()
      return exposition(metrics)
    },
  })

  const serveApi: FetchHandler = (request, env) => api.fetch(request, env)
  const serveOperations: FetchHandler = (request, env) => operations.fetch(request, env)
  let probing = false

  function probe(): void {
    if (probing) return
    probing = true
    observer.lag.start()
    discovery.start()
  }

  async function ready(): Promise<void> {
    const until = now() + readyMs
    while (isStarting() && now() < until) await new Promise<void>((resolve) => clock.after(lookMs, resolve))
  }

  async function close(graceMs = 0): Promise<void> {
    discovery.stop()
    prober.stop()
    observer.lag.stop()
    await Promise.all(listeners.splice(0).map((listener) => listener.close(graceMs)))
    await client.close()
  }

  return {
    config,
    metrics,
    registry,
    control,
    samples() {
      refreshGauges()
      return samplesOf(metrics)
    },
    fetch: async (request) => serveApi(request, { incoming: plainConnection(request) }),
    operations: async (request) => serveOperations(request, { incoming: plainConnection(request) }),
    probe,
    ready,
    async start({ ready: wait = true } = {}) {
      const { host, port, prometheusHost, prometheusPort } = config
      try {
        listeners.push(await runtime.listen({ host, port, fetch: serveApi, shared: shared !== undefined }))
        if (shared === undefined) {
          const address = { host: prometheusHost, port: prometheusPort }
          listeners.push(await runtime.listen({ ...address, fetch: serveOperations }))
        }
      } catch (error) {
        await close()
        throw error
      }
      probe()
      if (wait) await ready()
      return { api: listeners[0]!.url, operations: listeners[1]?.url ?? '' }
    },
    async stop({ settle = true } = {}) {
      // The operations listener stays open: probes and metrics are wanted until the end.
      const graceLeftMs = await lifecycle.drain(() => listeners[0]?.stopAccepting(), settle)
      // A client that reads slowly may not have its last bytes yet.
      await close(Math.max(farewellMs, graceLeftMs))
    },
    close: () => close(),
  }
}
