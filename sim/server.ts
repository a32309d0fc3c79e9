/**
 * A simulated vLLM server.
 *
 * It SIMULATES vLLM: no model, no GPU, invented words. It answers vLLM's HTTP API with vLLM's framing, errors, metrics
 * and timing, and it fails on demand. Every answer says so in `X-Simulated: vllm`.
 */
import type { IncomingMessage } from 'node:http'
import { idSource, now } from './call.ts'
import type { Delivery } from './delivery.ts'
import { type DispatchContext, dispatch } from './dispatch.ts'
import { Engine } from './engine.ts'
import type { Fault } from './fault.ts'
import { checkFault, parseFault } from './fault-parser.ts'
import { FaultSet } from './fault-set.ts'
import { Ledger, type SimStats } from './ledger.ts'
import { Listener } from './listener.ts'
import { resolveOptions, type SimOptions } from './options.ts'
import { Outage } from './outage.ts'
import { headWriter } from './response-head.ts'
import { ResponseStore } from './response-store.ts'
import { seededRandom } from './text.ts'

/** A request as it arrived. */
export interface ReceivedRequest {
  method: string
  /** With query string. */
  url: string
  headers: IncomingMessage['headers']
  /** Names and values in turn, as sent. */
  rawHeaders: string[]
  body: Buffer
}

export interface SimulatedVllm {
  /** What it sends as `X-Worker-Id`. */
  readonly id: string
  readonly url: string
  readonly host: string
  readonly port: number
  readonly models: readonly string[]
  stats(): SimStats
  /** The last request to the model API. */
  lastRequest(): ReceivedRequest | undefined
  /** Puts a fault in force, given in full or by its short name. Throws a RangeError for one that does not exist. */
  setFault(fault: Fault | string): void
  faults(): Fault[]
  /** Ends all faults. After `refuse` it resolves when the server listens again. */
  clearFaults(): Promise<void>
  /** Stops listening and closes idle connections. Requests in progress go on. */
  refuse(): void
  /** Listens again on the same port, after `refuse` or `die`. */
  listenAgain(): Promise<void>
  /** Dies as a killed process does: every connection is cut, nobody listens. */
  die(): void
  /** Stops listening, lets requests in progress come to their end, and resolves when every connection is closed. */
  finish(): Promise<void>
  /** Cuts every connection and resolves when all are closed. */
  close(): Promise<void>
}

/**
 * Starts one simulated server in this process. Rejects when the port is taken; throws a RangeError for an option with
 * an impossible value.
 */
export async function startSimulatedVllm(options: Partial<SimOptions> = {}): Promise<SimulatedVllm> {
  const settings = resolveOptions(options)
  const engine = new Engine(settings)
  const ledger = new Ledger(settings.recordRequests)
  const faults = new FaultSet(seededRandom(settings.seed + 1))
  const deliveries = new Set<Delivery>()
  let last: ReceivedRequest | undefined

  const listener = new Listener({
    host: settings.host,
    keepAliveTimeoutMs: settings.keepAliveTimeoutMs,
    handle: (req, res, body) => dispatch(context, req, res, body),
  })

  function die(): void {
    for (const delivery of deliveries) delivery.settle('faulted')
    engine.cache.reset()
    void listener.drop()
  }

  const kill = settings.onDie ?? die
  const outage = new Outage(faults, listener, kill)

  function stats(): SimStats {
    const { received, ended, receivedIds, completedIds } = ledger
    const { running, waiting, generatedTokens } = engine
    const ids = { receivedIds: [...receivedIds], completedIds: [...completedIds] }
    return { received, ...ended, running: running.size, waiting, generatedTokens, ...ids }
  }

  const context: DispatchContext = {
    settings,
    engine,
    ledger,
    faults,
    outage,
    deliveries,
    responses: new ResponseStore(),
    newId: idSource(),
    startedAt: now(),
    load: () => deliveries.size,
    stats,
    received(req, { method, body }) {
      last = { method, url: req.url ?? '', headers: req.headers, rawHeaders: req.rawHeaders, body }
    },
    writeHead: headWriter(settings.id, () => listener.listening),
    die: kill,
  }

  await listener.open(settings.port)
  return {
    id: settings.id,
    url: `http://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${listener.port}`,
    host: settings.host,
    port: listener.port,
    models: settings.models,
    stats,
    lastRequest: () => last,
    setFault: (fault) => outage.setFault(typeof fault === 'string' ? parseFault(fault) : checkFault(fault)),
    faults: () => faults.list(),
    clearFaults: () => outage.clear(),
    refuse: () => listener.refuse(),
    listenAgain: () => listener.listenAgain(),
    die: kill,
    finish() {
      outage.close()
      return listener.finish()
    },
    close() {
      outage.close()
      return listener.close()
    },
  }
}
