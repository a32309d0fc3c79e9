import { restartNeeded } from '../config/changes.ts'
import { ConfigError, type ConfigProblem } from '../config/problem.ts'
import { resolveOptions } from '../config/resolve-options.ts'
import type { Config, ConfigInput } from '../config/settings.ts'
import type { RouterControl } from '../operations/router-control.ts'
import type { Clock } from '../runtime/clock.ts'
import { plainRequest } from '../runtime/plain-request.ts'
import type { Log } from '../telemetry/logger.ts'
import { createRouter } from './router.ts'

const severalProcesses: ConfigProblem = {
  name: 'processes',
  origin: 'option processes',
  problem: 'a gateway is one process; only the program vllm-router starts several',
  allowed: '1',
}

const ownKeys: ConfigProblem = {
  name: 'keysFile',
  origin: 'option keysFile',
  problem: 'only the program vllm-router reads such a file',
  hint: 'a program gives its list as `keys`, and another one with `reconfigure`',
}

/** What a program may bring along instead of the real thing. */
export interface GatewayParts {
  /** A pino logger. Default: nothing is logged. */
  readonly log?: Log
  /** Default: the system's. */
  readonly clock?: Clock
}

/** A whole router within a program. */
export interface Gateway {
  /** All settings in force, defaults included. */
  readonly config: Config
  /** What operators see of this router and do to it. */
  readonly control: RouterControl
  /**
   * Takes over other options while the gateway runs: all of them or nothing. Streams, health, breakers and what policies
   * have learnt stay, as far as the options do not change them.
   *
   * @throws ConfigError with every fault, and with every option that needs a new gateway
   */
  reconfigure(options: ConfigInput): void
  /** Answers one API request; for tests and for servers of your own. `start` must have been called, or `probe`. */
  fetch(request: Request): Promise<Response>
  /** The same for the operations listener. */
  operations(request: Request): Promise<Response>
  /** Starts to probe the workers, without listening. */
  probe(): void
  /** Resolves when every worker has been probed once, after two seconds at the latest: requests find who is there. */
  ready(): Promise<void>
  /**
   * Starts to probe and to listen; resolves with the addresses when the gateway is `ready`.
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
  /** Closes everything at once; with tracing, the last traces have two seconds. */
  close(): Promise<void>
}

/**
 * A router for a program of one's own.
 *
 * @param options any part of the configuration; docs/configuration.md lists the keys and defaults
 * @throws ConfigError with every fault of the options
 *
 * @example
 * ```ts
 * const gateway = await createGateway({ workerUrls: ['http://gpu1:8000', 'http://gpu2:8000'] })
 * const { api } = await gateway.start()
 * console.log(`OpenAI base URL: ${api}/v1`)
 * process.once('SIGTERM', () => gateway.stop())
 * ```
 */
export async function createGateway(options: ConfigInput = {}, parts: GatewayParts = {}): Promise<Gateway> {
  const config = resolveOptions(options)
  if (config.processes !== 1) throw new ConfigError([severalProcesses])
  if (config.keysFile !== undefined) throw new ConfigError([ownKeys])
  const router = await createRouter(config, parts)
  const { control, probe, ready, start, stop, close, serveApi, serveOperations } = router
  let current = config
  return {
    ...{ control, probe, ready, start, stop, close },
    get config() {
      return current
    },
    reconfigure(changed) {
      const next = resolveOptions(changed)
      const problems = restartNeeded(current, next)
      if (problems.length > 0) throw new ConfigError(problems)
      router.prepare(next)()
      current = next
    },
    fetch: async (request) => serveApi(request, { incoming: plainRequest(request) }),
    operations: async (request) => serveOperations(request, { incoming: plainRequest(request) }),
  }
}
