import { banner } from './banner.ts'
import { ConfigError, formatFaults } from './config/fault.ts'
import type { Config } from './config/settings.ts'
import { createGateway, type Gateway } from './gateway.ts'
import { ListenError } from './runtime/runtime.ts'
import { createLog, type Log } from './telemetry/log.ts'
import { version } from './version.ts'

/** Milliseconds that the banner waits for the first probes, so that it can show states and models. */
const firstProbesMs = 1000
/** Milliseconds in which Ctrl-C counts once: the terminal sends it to `bun run` too, which hands it on. */
const echoMs = 500

/** Runs a router until a signal ends it; resolves with the exit code. */
export async function serve(config: Config, { colour }: { colour: boolean }): Promise<number> {
  const terminal = process.stdout.isTTY === true
  const { logLevel: level, logFormat: format } = config
  const log = createLog({ level, format, terminal, colour: terminal && colour })
  const fleet = config.demo > 0 ? await startDemo(config.demo) : undefined
  try {
    const workerUrls = fleet?.urls ?? config.workerUrls
    const gateway = await createGateway({ ...config, demo: 0, workerUrls }, { log })
    const urls = await gateway.start()
    // Not before: what goes wrong up to here must end the process.
    guardProcess(log)
    const signal = nextSignal()
    if (terminal && config.logFormat !== 'json') {
      await Promise.race([firstProbes(gateway), signal])
      process.stdout.write(welcome(gateway, urls, { demo: fleet !== undefined, colour }))
    }
    log.info(
      { ...urls, version, policy: config.policy, workers: gateway.registry.pool.workers.length },
      'listening',
    )
    const first = await signal
    log.info({ signal: first }, 'draining')
    const again = nextSignal({ echoOf: first })
    // A person's Ctrl-C: no load balancer has to notice first.
    const stopped = gateway.stop({ settle: first !== 'SIGINT' })
    const forced = await Promise.race([stopped.then(() => undefined), again])
    if (forced !== undefined) return stopAtOnce(log, forced)
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
function firstProbes({ registry: { pool } }: Gateway): Promise<void> {
  return new Promise((resolve) => {
    const started = performance.now()
    const look = setInterval(() => {
      const probed = pool.workers.every(
        ({ health, lastError }) => health.name !== 'starting' || lastError !== undefined,
      )
      if (!probed && performance.now() - started < firstProbesMs) return
      clearInterval(look)
      resolve()
    }, 10)
  })
}

function welcome(
  { registry: { pool }, config }: Gateway,
  urls: { api: string; operations: string },
  { demo, colour }: { demo: boolean; colour: boolean },
): string {
  return banner({
    version,
    runtime:
      process.versions.bun === undefined ? `Node ${process.versions.node}` : `Bun ${process.versions.bun}`,
    urls,
    workers: pool.workers.map(({ id, url, health, models }) => ({
      id,
      url,
      state: health.name,
      models: [...(models ?? [])],
    })),
    policy: config.policy,
    demo,
    keyRequired: config.routerApiKeys.length > 0,
    colour,
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

/** A fault nobody expected is written down; it must not take the streams of all other clients with it. */
function guardProcess(log: Log): void {
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'unhandled rejection'))
  process.on('uncaughtException', (error) => log.error({ err: error }, 'uncaught exception'))
}
