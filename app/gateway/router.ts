import { HeldBytes } from '../../http/held-bytes.ts'
import { RetryBudget } from '../../policies/resilience/retry-budget.ts'
import { createApi } from '../api/api.ts'
import { createMemory } from '../api/call-of.ts'
import { createDryRun } from '../api/dry-run.ts'
import { ModelNames } from '../api/model-names.ts'
import type { ResponseState } from '../api/response-state.ts'
import { connectionsFull } from '../api/spare-connections.ts'
import type { ListenerName } from '../config/listener-tls.ts'
import type { Config, SettingKey } from '../config/settings.ts'
import { version } from '../config/version.ts'
import { FleetFeed } from '../operations/fleet-feed.ts'
import { Lifecycle } from '../operations/lifecycle.ts'
import { LocalControl } from '../operations/local-control.ts'
import { createOperations } from '../operations/operations.ts'
import { readPage } from '../operations/page-files.ts'
import type { RouterControl } from '../operations/router-control.ts'
import { bufferBound } from '../runtime/available-memory.ts'
import { systemClock } from '../runtime/clock.ts'
import { detectRuntime } from '../runtime/detect.ts'
import type { FetchHandler, Listener, ListenOptions } from '../runtime/runtime.ts'
import { Accounting } from '../telemetry/accounting.ts'
import { createTracer } from '../telemetry/create-tracer.ts'
import { exposition, type Samples, samplesOf, wantsOpenMetrics } from '../telemetry/exposition.ts'
import { figureNames, figuresOf } from '../telemetry/figures.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Observer } from '../telemetry/observer.ts'
import { shownCertificates } from '../telemetry/shown-certificates.ts'
import { TenantObserver } from '../telemetry/tenant-observer.ts'
import { UsageBook } from '../telemetry/usage-book.ts'
import { usageReport } from '../usage/usage-report.ts'
import type { WorkerRegistry } from '../workers/registry.ts'
import { Certificates } from './certificates.ts'
import { createFleet } from './fleet.ts'
import { type Identity, identityOf } from './identity.ts'
import { createLimits } from './limits.ts'
import { relayOptions } from './relay-options.ts'
import { Reloader } from './reloader.ts'
import type { RouterParts } from './router-parts.ts'
import { createTenantLimits } from './tenant-limits.ts'
import { createUsageKeeper } from './usage.ts'

/** Longest time in milliseconds that `ready` takes, and between two looks. */
const readyMs = 2000
const lookMs = 10
/** Milliseconds for the last bytes of answers to get from our sockets to their clients. */
const farewellMs = 2000

/** A router in one process: two HTTP applications over one fleet. `createGateway` shows of it what programs need. */
export interface Router {
  readonly registry: WorkerRegistry
  readonly control: RouterControl
  readonly reloader: Reloader
  /** Whose request made a stored response, as far as this process knows. */
  readonly madeBy: ResponseState['madeBy']
  /** See `Fleet.prepare`; of the whole router. The function says which settings name files that have changed. */
  prepare(next: Config): () => readonly SettingKey[]
  readonly serveApi: FetchHandler
  readonly serveOperations: FetchHandler
  /**
   * What `GET /metrics` shows, as data.
   * @param names only of these metrics; default: of all
   */
  samples(names?: readonly string[]): Promise<Samples>
  /** Writes the usage that was counted until now; rejects where that cannot be. */
  flushUsage(): Promise<void>
  probe(): void
  ready(): Promise<void>
  start(options?: {
    readonly ready?: boolean
  }): Promise<{ readonly api: string; readonly operations: string }>
  stop(options?: { readonly settle?: boolean }): Promise<void>
  close(): Promise<void>
}

/**
 * Wires the parts of a router together.
 *
 * @throws ConfigError when a file that the configuration names is not what it should be
 */
export async function createRouter(config: Config, parts: RouterParts = {}): Promise<Router> {
  const { log = silentLog(), clock = systemClock, random = Math.random, shared } = parts
  const runtime = parts.runtime ?? (await detectRuntime())
  const now = () => clock.now()
  let identity = identityOf(config, { log, runtime })

  const metrics = createMetrics()
  metrics.buildInfo.set({ version, runtime: runtime.name, runtime_version: runtime.version }, 1)
  metrics.processes.set(1)
  const observer = new Observer({
    metrics,
    log,
    policy: config.policy,
    cacheThreshold: config.cacheThreshold,
  })
  const tracer = await createTracer(config, { metrics, log, clock })
  const usage = new UsageBook(metrics)
  const keeper = createUsageKeeper(config, { metrics, log, clock, store: shared?.usage })
  keeper.follow(usage)
  const accounting = new Accounting({
    ...{ metrics, log, clock, tracer, usage },
    onTokens: (worker, count) => pool.withId(worker)?.recent.add('tokens', count),
  })
  const fleet = createFleet({
    ...{ config, clock, random, runtime, observer },
    onOperatorChange: shared?.onOperatorChange,
  })
  const { registry, pool } = fleet
  const certificates = new Certificates({ config, onShown: shownCertificates(metrics, log) })
  let current = config
  const lifecycle = new Lifecycle({ ...{ accounting, clock }, ...drainTimes(config) })
  const limits = createLimits(config, observer, now)
  const tenants = await createTenantLimits({
    ...{ config, clock, shared: shared?.limitsStore },
    observer: new TenantObserver({ metrics, log, counts: accounting.tenants }),
  })
  const budget = new RetryBudget({ ...budgetOf(config), now })
  const held = new HeldBytes({
    limit: bufferBound(config.maxBufferedBytes),
    onFull: () => observer.buffersFull(),
  })
  const memory = createMemory(pool)
  followTenants(identity)
  const refreshGauges = () => observer.refreshGauges(pool, held.held)
  const listeners: Listener[] = []

  const reloader = new Reloader({
    ...{ config, log, prepare },
    read: parts.readConfig,
    onResult: (ok) => observer.reloaded(ok),
  })
  const control = new LocalControl({
    ...{ fleet, lifecycle, clock, recent: accounting.recent },
    startupTimeoutMs: () => current.workerStartupTimeoutSecs * 1000,
    tenantLimits: () => tenants.view(),
    usage: (filter) => usageReport(keeper, filter),
    settings: () => reloader.view(),
    dryRun: (request) => applications.dryRun(request),
    reload: parts.readConfig && (() => reloader.reload('POST /reload')),
  })
  observer.reloaded(true)
  const page = await readPage()
  const feed = new FleetFeed({
    ...{ control, clock },
    figures: async () => figuresOf(await samplesOf(metrics, figureNames)),
  })

  function followTenants({ ring }: Identity): void {
    accounting.follow(ring?.names ?? [])
    tenants.follow(ring?.tenants)
  }

  /** The two applications: what a configuration sets, around what outlives it. */
  function createApplications(wanted: Config, { ring, tokens }: Identity) {
    const limiter = shared?.limiter ?? limits.bucket
    const names = new ModelNames(wanted)
    const full = connectionsFull(fleet.client, listeners)
    return {
      dryRun: createDryRun({
        ...{ config: wanted, pool, names, lifecycle, full },
        responses: memory.responses,
        isStarting: fleet.isStarting,
        limits: (standing) => limits.view(standing),
        tenants,
      }),
      api: createApi({
        ...{ config: wanted, accounting, lifecycle, clock, log, held, memory, names, full, ring, tokens },
        madeElsewhere: shared?.madeElsewhere,
        tenants,
        queue: shared?.admission ?? limits.queue,
        rate: limiter && { limiter, onLimited: () => observer.rateLimited() },
        control: shared?.control ?? control,
        inference: relayOptions({ config: wanted, clock, random, fleet, metrics, observer, budget }),
      }),
      operations: createOperations({
        ...{ config: wanted, control, log, page, feed, api: serveApi },
        exposition(accept) {
          refreshGauges()
          return exposition(metrics, tracer !== undefined && wantsOpenMetrics(accept))
        },
      }),
    }
  }

  const serveApi: FetchHandler = (request, env) => applications.api.fetch(request, env)
  const serveOperations: FetchHandler = (request, env) => applications.operations.fetch(request, env)
  let applications = createApplications(config, identity)

  function prepare(next: Config): () => readonly SettingKey[] {
    const applyFleet = fleet.prepare(next)
    const renew = certificates.prepare(next)
    const nextIdentity = identityOf(next, { log, runtime, before: identity })
    return () => {
      // The only one that can fail, where the system has no descriptor left: nothing has changed then.
      const renewed = renew()
      if (next.adminApiKey !== current.adminApiKey) feed.disconnect()
      current = next
      renewed.push(...applyFleet())
      limits.reconfigure(next)
      budget.reconfigure(budgetOf(next))
      held.limit = bufferBound(next.maxBufferedBytes)
      keeper.retentionDays = next.usageRetentionDays
      tracer?.sample(next.otelSamplingRatio)
      lifecycle.reconfigure(drainTimes(next))
      observer.policyChanged(next.policy, next.cacheThreshold)
      if (parts.log !== undefined) log.level = next.logLevel
      identity = nextIdentity
      followTenants(identity)
      // Requests under way go on in the applications that they have come to.
      applications = createApplications(next, identity)
      return renewed
    }
  }

  let probing = false

  function probe(): void {
    if (probing) return
    probing = true
    observer.lag.start()
    fleet.start()
  }

  async function ready(): Promise<void> {
    const until = now() + readyMs
    while (fleet.isStarting() && now() < until)
      await new Promise<void>((resolve) => clock.after(lookMs, resolve))
  }

  async function listen(): Promise<void> {
    const { host, port, prometheusHost, prometheusPort } = config
    const isShared = shared !== undefined
    await open('api', { host, port, fetch: serveApi, shared: isShared })
    if (!isShared)
      await open('operations', { host: prometheusHost, port: prometheusPort, fetch: serveOperations })
  }

  async function open(name: ListenerName, options: Omit<ListenOptions, 'tls'>): Promise<void> {
    const listener = await runtime.listen({ ...options, tls: certificates.of(name) })
    listeners.push(listener)
    certificates.serve(name, listener)
  }

  async function close(graceMs = 0): Promise<void> {
    observer.lag.stop()
    feed.close()
    await fleet.stop(Promise.all(listeners.splice(0).map((listener) => listener.close(graceMs))))
    await tenants.close()
    // Requests that were cut off have been counted by now.
    await keeper.close()
    await tracer?.stop()
  }

  return {
    ...{ registry, control, reloader, prepare, serveApi, serveOperations, probe, ready },
    madeBy: (id) => memory.responses.madeBy(id),
    flushUsage: () => keeper.flush(),
    samples(names) {
      if (names === undefined) refreshGauges()
      return samplesOf(metrics, names)
    },
    async start({ ready: wait = true } = {}) {
      try {
        await listen()
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

function drainTimes({ shutdownSettleSecs, shutdownGraceSecs }: Config) {
  return { settleMs: shutdownSettleSecs * 1000, graceMs: shutdownGraceSecs * 1000 }
}

function budgetOf({ retryBudgetRatio, retryBudgetMinPerSec }: Config) {
  return { ratio: retryBudgetRatio, minimumPerSecond: retryBudgetMinPerSec }
}
