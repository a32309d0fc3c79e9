import type { Environment } from '../config/environment.ts'
import { loadConfig } from '../config/load-config.ts'
import { ConfigError, type ConfigProblem } from '../config/problem.ts'
import type { Config } from '../config/settings.ts'
import { createRouter, type Router } from '../gateway/router.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import type { Log } from '../telemetry/log.ts'
import type { ProcessCalls, StartOrder, SupervisorCalls } from './calls.ts'
import { Channel, type Handlers, type Port } from './channel.ts'
import { RemoteAdmission } from './remote-admission.ts'
import { controlHandlers, RemoteControl } from './remote-control.ts'
import { RemoteLimits } from './remote-limits.ts'
import { RemoteUsage } from './remote-usage.ts'
import { resolveShare } from './share-config.ts'

export interface OwnProcessOptions {
  readonly port: Port
  /** Where code of the configuration is found. */
  readonly argv: readonly string[]
  readonly env: Environment
  readonly createLog: (config: Partial<Config>, number: number) => Log
  readonly clock?: Clock
}

/** Milliseconds that a replacement waits until it can use as many workers as the others; the same for `untilHealthy`. */
const longestWaitMs = 5000
/** Milliseconds that the first processes wait for the first probes: readiness must not speak for one that knows nothing. */
const firstProbesMs = 1000
/** Milliseconds between two looks. */
const lookMs = 20

/** One of several processes: a gateway that does what its supervisor says. */
export class OwnProcess {
  /** Resolves when everything is closed. */
  readonly ended: Promise<void>
  readonly #options: OwnProcessOptions
  readonly #clock: Clock
  readonly #channel: Channel<ProcessCalls, SupervisorCalls>
  readonly #ready = Promise.withResolvers<Router>()
  readonly #end = Promise.withResolvers<void>()
  #router: Router | undefined
  /** What of the configuration is code: it stays as it was at the start. */
  #code: Partial<Pick<Config, 'middleware' | 'selectionPolicies'>> = {}
  /** What takes the configuration over that came last. */
  #prepared: { readonly reload: number; readonly apply: Promise<() => unknown> } | undefined
  /** The takeover that was begun last: the next configuration is compared with what it leaves. */
  #committed: Promise<void> = Promise.resolve()
  #stopping = false
  /** From 1, as in the log. */
  #number = 0

  constructor(options: OwnProcessOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.ended = this.#end.promise
    this.#channel = new Channel(options.port, this.#handlers())
    // Whoever waits for it is told by its own promise.
    this.#ready.promise.catch(() => {})
  }

  /** Drains, once; the first order counts. */
  stop({ settle }: { readonly settle: boolean }): void {
    if (this.#stopping) return
    this.#stopping = true
    const stopped = this.#router?.stop({ settle }) ?? Promise.resolve()
    void stopped.finally(() => this.#end.resolve())
  }

  #handlers(): Handlers<ProcessCalls> {
    const router = () => this.#ready.promise
    const control = controlHandlers(() => this.#router!.control)
    return {
      ...control,
      dryRun: async (request) => ({ ...(await control.dryRun(request)), process: this.#number }),
      start: async (order) => {
        await this.#start(order)
        return null
      },
      ping: () => null,
      samples: async (names) => (await router()).samples(names ?? undefined),
      madeBy: async (id) => (await router()).madeBy(id) ?? null,
      flushUsage: async () => {
        await (await router()).flushUsage()
        return null
      },
      operatorChanges: async () => (await router()).registry.operatorChanges(),
      adopt: async (word) => {
        const { registry } = await router()
        registry.applyOperatorChanges(word)
        return null
      },
      untilHealthy: async (url) => {
        const { registry } = await router()
        await this.#until(() => registry.find(url)?.health.name === 'healthy', longestWaitMs)
        return null
      },
      prepare: ({ reload, config }) => {
        const apply = this.#prepare(config)
        this.#prepared = { reload, apply }
        return apply.then(() => [], problemsOf)
      },
      commit: async (reload) => {
        const prepared = this.#prepared
        this.#prepared = undefined
        if (prepared?.reload !== reload) throw new Error('this configuration was not prepared')
        const committed = prepared.apply.then((apply) => void apply())
        this.#committed = committed.catch(() => {})
        await committed
        return null
      },
      drain: ({ settle }) => {
        this.stop({ settle })
        return null
      },
    }
  }

  async #start(order: StartOrder): Promise<void> {
    this.#number = order.number
    if (order.hasCode) this.#code = await this.#loadCode()
    const config = { ...order.config, ...this.#code }
    const channel = this.#channel
    const router = await createRouter(resolveShare(config), {
      log: this.#options.createLog(config, order.number),
      shared: {
        admission: order.sharesCap ? new RemoteAdmission(channel) : undefined,
        limitsStore: new RemoteLimits(channel, this.#clock),
        limiter: order.sharesRate ? { take: () => channel.call('take', null) } : undefined,
        control: new RemoteControl(channel),
        madeElsewhere: (id) => channel.call('madeElsewhere', id),
        usage: new RemoteUsage(channel),
        onOperatorChange: () => channel.tell('operatorChanged', router.registry.operatorChanges()),
      },
    })
    router.probe()
    if (order.word !== undefined) router.registry.applyOperatorChanges(order.word)
    this.#router = router
    this.#ready.resolve(router)
    const { pool } = router.registry
    const probed = () =>
      pool.workers.every(({ health, lastError }) => health.name !== 'starting' || lastError !== undefined)
    const waitMs = order.awaitAvailable > 0 ? longestWaitMs : firstProbesMs
    await this.#until(() => probed() && pool.availableCount >= order.awaitAvailable, waitMs)
    if (!this.#stopping) await router.start({ ready: false })
  }

  async #prepare(config: Partial<Config>): Promise<() => unknown> {
    const committed = this.#committed
    const router = await this.#ready.promise
    await committed
    return router.prepare(resolveShare({ ...config, ...this.#code }))
  }

  /** Code cannot be sent: it is loaded from where the supervisor has it from. */
  async #loadCode(): Promise<Pick<Config, 'middleware' | 'selectionPolicies'>> {
    const loaded = await loadConfig({ ...this.#options, readsKeys: false })
    if (!loaded.ok) throw new ConfigError(loaded.faults)
    const { middleware, selectionPolicies } = loaded.config
    return { middleware, selectionPolicies }
  }

  async #until(reached: () => boolean, longestMs: number): Promise<void> {
    const deadline = this.#clock.now() + longestMs
    while (!reached() && !this.#stopping && this.#clock.now() < deadline) {
      await new Promise<void>((resolve) => this.#clock.after(lookMs, resolve))
    }
  }
}

function problemsOf(error: unknown): readonly ConfigProblem[] {
  if (error instanceof ConfigError) return error.faults
  return [
    { name: 'reload', origin: 'reload', problem: error instanceof Error ? error.message : String(error) },
  ]
}
