import { resolve } from 'node:path'
import { restartNeeded } from '../config/changes.ts'
import type { Environment } from '../config/environment.ts'
import { asksForKeys } from '../config/key-entries.ts'
import { loadConfig } from '../config/load-config.ts'
import { ConfigError, formatProblems } from '../config/problem.ts'
import type { Config } from '../config/settings.ts'
import { tlsFaults, tlsFiles } from '../config/tls-faults.ts'
import { version } from '../config/version.ts'
import type { ReadConfig } from '../gateway/reloader.ts'
import { createRouter } from '../gateway/router.ts'
import { auditReload } from '../operations/audit.ts'
import type { ReloadResult, RouterControl } from '../operations/router-control.ts'
import { processCount } from '../processes/process-count.ts'
import { ListenError } from '../runtime/runtime.ts'
import { isOrder, type Signals } from '../runtime/signals.ts'
import { guardProcess } from '../telemetry/guard-process.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import type { WorkerState } from '../workers/worker-state.ts'
import { banner } from './banner.ts'
import { watchCertificates } from './certificate-watch.ts'
import { versionOf, watchFiles } from './config-watch.ts'

/** Milliseconds that the banner waits for the first probes, so that it can show states and models. */
const firstProbesMs = 1000

export interface ServeOptions {
  readonly colour: boolean
  readonly env: Environment
  /** The flags of the command line. */
  readonly argv: readonly string[]
  readonly signals: Signals
  /** Of the files as `config` has them, by their paths; see `watchFiles`. */
  readonly readVersions: ReadonlyMap<string, string>
}

/** One process or several: what a router is to whoever runs it. */
interface Router {
  readonly control: RouterControl
  start(options: { readonly ready: boolean }): Promise<{ readonly api: string; readonly operations: string }>
  stop(options: { readonly settle: boolean }): Promise<void>
  /** Reads the configuration anew. */
  reload(cause: string): Promise<ReloadResult>
  /** Reads certificates and keys anew. */
  renew(cause: string): Promise<ReloadResult>
  /** Leaves nothing behind when this process exits. */
  abandon(): void
}

/** Runs a router until a signal ends it; resolves with the exit code. */
export async function serve(config: Config, options: ServeOptions): Promise<number> {
  const { colour, argv, env, signals, readVersions } = options
  const terminal = process.stdout.isTTY === true
  const { logLevel: level, logFormat: format } = config
  const processes = processCount(config)
  const manyWriters = processes > 1
  const log = createLog({ level, format, terminal, colour: terminal && colour, manyWriters })
  const ending = new Ending(signals, log)
  const fleet = config.demo > 0 ? await startDemo(config.demo) : undefined
  try {
    const serving = (wanted: Config): Config => ({
      ...wanted,
      processes: 1,
      demo: 0,
      workerUrls: fleet?.urls ?? wanted.workerUrls,
    })
    const readConfig: ReadConfig = async () => {
      const loaded = await loadConfig({ argv, env })
      if (!loaded.ok) return loaded
      const faults = [...restartNeeded(config, loaded.config), ...tlsFaults(loaded.config)]
      return faults.length > 0 ? { ok: false, faults } : { ok: true, config: serving(loaded.config) }
    }
    const certificates = tlsFiles(config)
    const certificatesVersion = await versionOf(certificates)
    const router = await startRouter(serving(config), { processes, argv, log, readConfig })
    ending.abandon = () => router.abandon()
    const audited = async (cause: string, result: Promise<ReloadResult>): Promise<ReloadResult> => {
      auditReload(log, cause, await result)
      return result
    }
    ending.hangUp = () => void audited('SIGHUP', router.reload('SIGHUP'))
    const urls = await router.start({ ready: false })
    // Not before: what goes wrong up to here must end the process.
    guardProcess(log)
    // Nobody has been told yet that it is there.
    const early = ending.ordered
    if (terminal && config.logFormat !== 'json') {
      await Promise.race([firstProbes(router.control), ending.order])
      const workers = await router.control.workers()
      process.stdout.write(welcome(config, urls, { workers, demo: fleet !== undefined, colour }))
    }
    const workers = (await router.control.workers()).length
    log.info({ ...urls, version, policy: config.policy, workers, processes }, 'listening')
    if (workers === 0 && !looksForWorkers(config)) log.warn(noWorkers)
    const unwatch = watchedFiles(config).map((file) =>
      watchFiles([file], () => void audited(file, router.reload(file)), {
        readVersion: readVersions.get(resolve(file)),
      }),
    )
    const unwatchCertificates = watchCertificates(
      certificates,
      (cause) => audited(cause, router.renew(cause)),
      {
        readVersion: certificatesVersion,
      },
    )
    const signal = await ending.order
    for (const end of unwatch) end()
    unwatchCertificates()
    log.info({ signal }, 'draining')
    // A person's Ctrl-C: no load balancer has to notice first.
    await router.stop({ settle: signal !== 'SIGINT' && !early })
    log.info('stopped')
    return 0
  } catch (error) {
    if (!(error instanceof ListenError || error instanceof ConfigError)) throw error
    process.stderr.write(
      `${error instanceof ConfigError ? formatProblems(error.faults) : `${error.message}${flagOf(error, config)}`}\n`,
    )
    return error instanceof ConfigError ? 2 : 1
  } finally {
    await fleet?.close()
  }
}

interface RouterOptions {
  readonly processes: number
  readonly argv: readonly string[]
  readonly log: Log
  readonly readConfig: ReadConfig
}

async function startRouter(config: Config, options: RouterOptions): Promise<Router> {
  const { processes, argv, log, readConfig } = options
  if (processes === 1) {
    const router = await createRouter(config, { log, readConfig })
    const { reloader } = router
    return {
      ...router,
      reload: (cause) => reloader.reload(cause),
      renew: (cause) => reloader.renew(cause),
      abandon: () => {},
    }
  }
  // Only loaded where it is wanted: it costs start-up time and memory.
  const { supervise } = await import('../processes/supervise.ts')
  return supervise(config, { count: processes, argv, log, readConfig })
}

/** Those that are read anew when they change. A program is not read twice. */
function watchedFiles({ config, keysFile }: Config): string[] {
  const isData = config !== undefined && /\.(ya?ml|json)$/i.test(config)
  return [...(isData ? [config] : []), ...(keysFile === undefined ? [] : [keysFile])]
}

async function startDemo(size: number) {
  // Only loaded where it is wanted: the image of a router has no simulator.
  const demo = await import('./demo.ts').catch((error: unknown) => {
    throw new Error('--demo needs the simulated workers (sim/), which this installation does not have', {
      cause: error,
    })
  })
  return demo.startDemoFleet(size)
}

/** Resolves as soon as every worker has been probed once, at the latest after a second. */
async function firstProbes(control: RouterControl): Promise<void> {
  const deadline = performance.now() + firstProbesMs
  while (performance.now() < deadline) {
    const workers = await control.workers()
    if (workers.every(({ health, last_error }) => health !== 'starting' || last_error !== null)) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

function welcome(
  config: Config,
  urls: { readonly api: string; readonly operations: string },
  { workers, ...rest }: { workers: readonly WorkerState[]; demo: boolean; colour: boolean },
): string {
  return banner({
    version,
    runtime:
      process.versions.bun === undefined ? `Node ${process.versions.node}` : `Bun ${process.versions.bun}`,
    urls,
    workers: workers.map(({ id, url, health, models }) => ({ id, url, state: health, models: models ?? [] })),
    policy: config.policy,
    keyRequired: asksForKeys(config),
    ...rest,
  })
}

const noWorkers =
  'there are no workers yet: start with --worker-urls http://host:8000, --worker-urls-file, --worker-dns or --service-discovery, add some with POST /workers on the operations listener, or try --demo'

function flagOf({ port }: ListenError, config: Config): string {
  const flag = port === config.port ? '--port' : '--prometheus-port'
  return ` (choose another one with ${flag}; 0 takes a free one)`
}

/** Whether there is a source that may name workers later. */
function looksForWorkers(config: Config): boolean {
  return config.workerUrlsFile !== undefined || config.workerDns.length > 0 || config.serviceDiscovery
}

/** The end of the program as signals order it: the first one in good order, the second one at once. */
class Ending {
  /** Resolves with the first order. */
  readonly order: Promise<NodeJS.Signals>
  /** The first order has come. */
  ordered = false
  /** Leaves nothing behind. */
  abandon = (): void => {}
  /** SIGHUP has come. */
  hangUp = (): void => {}

  constructor(signals: Signals, log: Log) {
    const first = Promise.withResolvers<NodeJS.Signals>()
    this.order = first.promise
    signals.take((signal) => {
      if (signal === 'SIGHUP') this.hangUp()
      if (!isOrder(signal)) return
      if (!this.ordered) {
        this.ordered = true
        first.resolve(signal)
        return
      }
      this.abandon()
      log.warn({ signal }, 'second signal: stopping at once')
      process.exit(1)
    })
  }
}
