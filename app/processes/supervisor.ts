import { standingOf } from '../../http/priority.ts'
import { LimitsLedger } from '../../policies/limits/limits-ledger.ts'
import type { Config, SettingKey } from '../config/settings.ts'
import { Certificates } from '../gateway/certificates.ts'
import { createLimits, type Limits } from '../gateway/limits.ts'
import { type ReadConfig, Reloader } from '../gateway/reloader.ts'
import { FleetFeed } from '../operations/fleet-feed.ts'
import { createOperations } from '../operations/operations.ts'
import type { PageFiles } from '../operations/page-files.ts'
import type { ReloadResult, RouterControl } from '../operations/router-control.ts'
import { claimPort } from '../runtime/claim-port.ts'
import { type Clock, within } from '../runtime/clock.ts'
import type { OwnCommand } from '../runtime/own-command.ts'
import { type FetchHandler, type Listener, type Runtime, urlOf } from '../runtime/runtime.ts'
import { tracesEndpoint } from '../telemetry/create-tracer.ts'
import { wantsOpenMetrics } from '../telemetry/exposition.ts'
import type { Log } from '../telemetry/log.ts'
import { createMetrics, type Metrics } from '../telemetry/metrics.ts'
import { Observer } from '../telemetry/observer.ts'
import { shownCertificates } from '../telemetry/shown-certificates.ts'
import type { OperatorChanges } from '../workers/registry.ts'
import type { StartOrder, SupervisorCalls } from './calls.ts'
import type { Handlers } from './channel.ts'
import { GroupMetrics } from './group-metrics.ts'
import { GroupReload } from './group-reload.ts'
import { GroupUsage } from './group-usage.ts'
import { MergedControl } from './merged-control.ts'
import { OwnApi } from './own-api.ts'
import { ProcessGroup } from './process-group.ts'
import { controlHandlers } from './remote-control.ts'
import { shareConfig, sharedLimits, shareFaults } from './share-config.ts'
import { SharedSlots } from './shared-slots.ts'
import { whoMade } from './who-made.ts'

export interface SupervisorOptions {
  readonly config: Config
  readonly count: number
  /** The flags that the router was started with. */
  readonly argv: readonly string[]
  readonly command: OwnCommand
  readonly runtime: Runtime
  readonly clock: Clock
  readonly log: Log
  readonly page: PageFiles
  /** Reads the configuration anew. */
  readonly readConfig?: ReadConfig | undefined
}

/** Milliseconds that a process may take to say how it is, or to adopt what an operator has said. */
const answerMs = 2000
/** Milliseconds that processes may take after the grace time; then they are killed. */
const lateMs = 10_000
/** Milliseconds for the last answers of the operations listener. */
const farewellMs = 1000

/**
 * Several processes that behave as one router. Each is a whole gateway on the API's port, which they share; what must hold
 * for all of them together is kept here: caps and rates, what operators have said, the metrics, the order to stop.
 */
export class Supervisor {
  readonly control: RouterControl
  readonly #options: SupervisorOptions
  readonly #metrics: Metrics = createMetrics()
  readonly #observer: Observer
  readonly #groupMetrics: GroupMetrics
  readonly #feed: FleetFeed
  readonly #api: OwnApi
  readonly #slots = new Map<number, SharedSlots>()
  readonly #limits: Limits
  /** What tenants have used up in all processes, where no other store keeps it. */
  readonly #ledger: LimitsLedger
  readonly #usage: GroupUsage
  readonly #group: ProcessGroup
  #word: OperatorChanges | undefined
  #adopted: Promise<unknown> = Promise.resolve()
  #port = 0
  #operations: Listener | undefined
  #draining = false
  /** In force; processes that are started later get it too. */
  #config: Config
  #serveOperations: FetchHandler
  /** Those of the API are read here too: what is wrong with them is said once, before any process is asked. */
  readonly #certificates: Certificates
  readonly #reloader: Reloader
  #reloads = 0

  constructor(options: SupervisorOptions) {
    const { config, clock, log, readConfig, runtime } = options
    this.#options = options
    this.#config = config
    this.#observer = new Observer({ metrics: this.#metrics, log, policy: config.policy })
    this.#certificates = new Certificates({ config, onShown: shownCertificates(this.#metrics, log) })
    this.#limits = createLimits(config, this.#observer, () => clock.now())
    this.#ledger = new LimitsLedger(() => clock.now())
    const serving = () => this.#group.serving
    this.#usage = new GroupUsage({ config, log, clock, metrics: this.#metrics, serving })
    this.#group = this.#createGroup()
    this.#reloader = new Reloader({
      ...{ config, log },
      read: readConfig,
      check: (before, after) => [...sharedLimits(before, after), ...shareFaults(after, options.count)],
      prepare: (next) => this.#prepare(next),
      onResult: (ok) => this.#observer.reloaded(ok),
    })
    this.#observer.reloaded(true)
    this.control = new MergedControl({
      controls: () => serving().map(({ control }) => control),
      draining: () => this.#draining,
      adopted: async () => void (await this.#adopted),
      untilHealthy: async (url) =>
        void (await Promise.all(serving().map(({ channel }) => channel.call('untilHealthy', url)))),
      limits: ({ headers }) => this.#limits.view(standingOf(undefined, headers)),
      usage: (filter) => this.#usage.report(filter),
      settings: async () => this.#reloader.view(),
      reload: () => this.reload('POST /reload'),
      clock,
    })
    const [metrics, observer] = [this.#metrics, this.#observer]
    this.#groupMetrics = new GroupMetrics({ serving, metrics, observer, clock })
    const figures = () => this.#groupMetrics.figures()
    this.#feed = new FleetFeed({ control: this.control, clock, figures })
    this.#api = new OwnApi({
      runtime,
      address: () => ({ host: config.host, port: this.#port, tls: this.#certificates.of('api') }),
      maxBodyBytes: () => this.#config.maxPayloadSize,
    })
    this.#serveOperations = this.#createOperations(config)
  }

  /** Reads the configuration anew; see `Reloader`. */
  reload(cause: string): Promise<ReloadResult> {
    return this.#reloader.reload(cause)
  }

  /** Reads the files anew that the configuration names; see `Reloader`. */
  renew(cause: string): Promise<ReloadResult> {
    return this.#reloader.renew(cause)
  }

  /** @throws ListenError, ConfigError, as a single process does */
  async start(): Promise<{ readonly api: string; readonly operations: string }> {
    const { config, runtime } = this.#options
    this.#port = await claimPort(config.host, config.port)
    const { prometheusHost: host, prometheusPort: port } = config
    this.#operations = await runtime.listen({
      host,
      port,
      fetch: (request, env) => this.#serveOperations(request, env),
      tls: this.#certificates.of('operations'),
    })
    this.#certificates.serve('operations', this.#operations)
    this.#observer.lag.start()
    try {
      await this.#group.start()
    } catch (error) {
      await this.#close()
      throw error
    }
    const secure = this.#certificates.of('api') !== undefined
    return { api: urlOf(config.host, this.#port, secure), operations: this.#operations.url }
  }

  /** Drains all processes at once; resolves when they are gone and everything is closed. */
  async stop({ settle = true }: { readonly settle?: boolean } = {}): Promise<void> {
    this.#draining = true
    await this.#group.drain(settle, this.#config.shutdownGraceSecs * 1000 + lateMs)
    await this.#close()
  }

  /** Ends all processes at once. */
  abandon(): void {
    void this.#group.kill()
  }

  async #close(): Promise<void> {
    this.#observer.lag.stop()
    this.#feed.close()
    await this.#api.close()
    await this.#operations?.close(farewellMs)
    await this.#usage.close()
  }

  #createOperations(config: Config): FetchHandler {
    const { log, page } = this.#options
    const isTraced = tracesEndpoint(config) !== undefined
    const app = createOperations({
      ...{ config, log, page, control: this.control, feed: this.#feed, api: this.#api.fetch },
      exposition: (accept) => this.#groupMetrics.exposition(isTraced && wantsOpenMetrics(accept)),
    })
    return (request, env) => app.fetch(request, env)
  }

  /** When all processes have prepared it, all take it over, and so do those that are started from then on. */
  async #prepare(next: Config): Promise<() => Promise<readonly SettingKey[]>> {
    const { clock, log } = this.#options
    const renew = this.#certificates.prepare(next)
    const serveOperations = this.#createOperations(next)
    const group = new GroupReload({
      ...{ clock, log, reload: ++this.#reloads },
      processes: () => this.#group.all,
      share: (number) => this.#shared(next, number),
    })
    await group.prepare()
    return async () => {
      const renewed = renew()
      if (next.adminApiKey !== this.#config.adminApiKey) this.#feed.disconnect()
      this.#config = next
      this.#limits.reconfigure(next)
      this.#usage.retentionDays = next.usageRetentionDays
      this.#observer.policyChanged(next.policy, next.cacheThreshold)
      log.level = next.logLevel
      this.#serveOperations = serveOperations
      await group.commit()
      return renewed
    }
  }

  #shared(config: Config, number: number): Partial<Config> {
    return { ...shareConfig(config, number, this.#options.count), port: this.#port }
  }

  #createGroup(): ProcessGroup {
    const { count, command, argv, clock, log } = this.#options
    return new ProcessGroup({
      count,
      command,
      argv,
      clock,
      order: (number) => this.#order(number),
      handlers: (id) => this.#handlers(id),
      events: {
        serving: ({ number, pid }) => log.info({ process: number, pid }, 'process serving'),
        ended: ({ id, number, pid }, exit, restartMs) => {
          this.#slots.get(id)?.leaveAll()
          this.#slots.delete(id)
          this.#ledger.forget(id)
          this.#groupMetrics.retire(id)
          if (restartMs === undefined) return log.info({ process: number, pid, ...exit }, 'process stopped')
          this.#metrics.processRestarts.of().inc()
          const details = { process: number, pid, ...exit, restart_in_ms: restartMs }
          log.error(details, 'process ended by itself; it is replaced')
        },
        hung: ({ number, pid }) => log.error({ process: number, pid }, 'process hangs; it is killed'),
        startFailed: (number, error) => log.error({ process: number, err: error }, 'process could not start'),
      },
    })
  }

  async #order(number: number): Promise<StartOrder> {
    const config = this.#config
    const [sibling] = this.#group.serving
    const known = sibling && (await this.#soon(sibling.channel.call('operatorChanges', null)))
    const vitals = sibling && (await this.#soon(sibling.channel.call('vitals', null)))
    const { middleware, selectionPolicies } = config
    return {
      number,
      config: this.#shared(config, number),
      hasCode: middleware.length > 0 || Object.keys(selectionPolicies).length > 0,
      awaitAvailable: vitals?.available ?? 0,
      word: known ?? this.#word,
      sharesCap: config.maxConcurrentRequests !== undefined,
      sharesRate: this.#limits.bucket !== undefined,
    }
  }

  #handlers(id: number): Handlers<SupervisorCalls> {
    const slots = new SharedSlots(this.#limits.queue)
    this.#slots.set(id, slots)
    return {
      ...controlHandlers(() => this.control),
      enter: ({ ticket, standing }) => slots.enter(ticket, standing),
      leave: (ticket) => slots.leave(ticket),
      take: () => this.#limits.bucket?.take() ?? 0,
      share: ({ tenant, request }) => this.#ledger.exchange(id, tenant, request),
      madeElsewhere: (response) => whoMade(response, this.#group.serving, id),
      addUsage: (rows) => this.#usage.add(rows),
      operatorChanged: (word) => {
        this.#word = word
        this.#spread(word, id)
        return null
      },
    }
  }

  /** Has all others adopt it; those that are only starting do so when they have started. */
  #spread(word: OperatorChanges, from: number): void {
    const adopting = this.#group.all
      .filter(({ id }) => id !== from)
      .map(({ channel, serving }) => {
        const adopted = this.#soon(channel.call('adopt', word))
        return serving ? adopted : undefined
      })
    this.#adopted = Promise.all(adopting)
  }

  /** The answer, or undefined when there is none in time. */
  #soon<T>(answer: Promise<T>): Promise<T | undefined> {
    return within(this.#options.clock, answerMs, answer).catch(() => undefined)
  }
}
