import { banner } from './banner.ts'
import { ConfigError, formatFaults } from './config/fault.ts'
import type { Config } from './config/settings.ts'
import { createGateway } from './gateway.ts'
import { guardProcess } from './guard-process.ts'
import { processCount } from './processes/process-count.ts'
import type { RouterControl } from './router-control.ts'
import { ListenError } from './runtime/runtime.ts'
import { createLog, type Log } from './telemetry/log.ts'
import { version } from './version.ts'
import type { WorkerState } from './workers/worker-state.ts'

/** Milliseconds that the banner waits for the first probes, so that it can show states and models. */
const firstProbesMs = 1000
/** Milliseconds in which Ctrl-C counts once: the terminal sends it to `bun run` too, which hands it on. */
const echoMs = 500

export interface ServeOptions {
  readonly colour: boolean
  /** The flags of the command line. */
  readonly argv: readonly string[]
}

/** One process or several: what a router is to whoever runs it. */
interface Router {
  readonly control: RouterControl
  start(): Promise<{ readonly api: string; readonly operations: string }>
  stop(options: { readonly settle: boolean }): Promise<void>
  /** Leaves nothing behind when this process exits. */
  abandon(): void
}

/** Runs a router until a signal ends it; resolves with the exit code. */
export async function serve(config: Config, { colour, argv }: ServeOptions): Promise<number> {
  const terminal = process.stdout.isTTY === true
  const { logLevel: level, logFormat: format } = config
  const processes = processCount(config)
  const manyWriters = processes > 1
  const log = createLog({ level, format, terminal, colour: terminal && colour, manyWriters })
  const fleet = config.demo > 0 ? await startDemo(config.demo) : undefined
  try {
    const workerUrls = fleet?.urls ?? config.workerUrls
    const router = await createRouter({ ...config, demo: 0, workerUrls }, { processes, argv, log })
    const urls = await router.start()
    // Not before: what goes wrong up to here must end the process.
    guardProcess(log)
    const signal = nextSignal()
    if (terminal && config.logFormat !== 'json') {
      await Promise.race([firstProbes(router.control), signal])
      const workers = await router.control.workers()
      process.stdout.write(welcome(config, urls, { workers, demo: fleet !== undefined, colour }))
    }
    const workers = (await router.control.workers()).length
    log.info({ ...urls, version, policy: config.policy, workers, processes }, 'listening')
    const first = await signal
    log.info({ signal: first }, 'draining')
    const again = nextSignal({ echoOf: first })
    // A person's Ctrl-C: no load balancer has to notice first.
    const stopped = router.stop({ settle: first !== 'SIGINT' })
    const forced = await Promise.race([stopped.then(() => undefined), again])
    if (forced !== undefined) {
      router.abandon()
      return stopAtOnce(log, forced)
    }
    log.info('stopped')
    return 0
  } catch (error) {
    if (!(error instanceof ListenError || error instanceof ConfigError)) throw error
    process.stderr.write(`${error instanceof ConfigError ? formatFaults(error.faults) : error.message}\n`)
    return error instanceof ConfigError ? 2 : 1
  } finally {
    await fleet?.close()
  }
}

interface RouterOptions {
  readonly processes: number
  readonly argv: readonly string[]
  readonly log: Log
}

async function createRouter(config: Config, { processes, argv, log }: RouterOptions): Promise<Router> {
  if (processes === 1) {
    const gateway = await createGateway({ ...config, processes }, { log })
    return { ...gateway, abandon: () => {} }
  }
  // Only loaded where it is wanted: it costs start-up time and memory.
  const { supervise } = await import('./processes/supervise.ts')
  return supervise(config, { count: processes, argv, log })
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
  { policy, routerApiKeys }: Config,
  urls: { readonly api: string; readonly operations: string },
  { workers, ...rest }: { workers: readonly WorkerState[]; demo: boolean; colour: boolean },
): string {
  return banner({
    version,
    runtime:
      process.versions.bun === undefined ? `Node ${process.versions.node}` : `Bun ${process.versions.bun}`,
    urls,
    workers: workers.map(({ id, url, health, models }) => ({ id, url, state: health, models: models ?? [] })),
    policy,
    keyRequired: routerApiKeys.length > 0,
    ...rest,
  })
}

function nextSignal({ echoOf }: { echoOf?: NodeJS.Signals } = {}): Promise<NodeJS.Signals> {
  const started = performance.now()
  return new Promise((resolve) => {
    const settle = (signal: NodeJS.Signals): void => {
      if (signal === 'SIGINT' && echoOf === signal && performance.now() - started < echoMs) return
      process.off('SIGTERM', settle)
      process.off('SIGINT', settle)
      resolve(signal)
    }
    process.on('SIGTERM', settle)
    process.on('SIGINT', settle)
  })
}

function stopAtOnce(log: Log, signal: NodeJS.Signals): never {
  log.warn({ signal }, 'second signal: stopping at once')
  process.exit(1)
}
