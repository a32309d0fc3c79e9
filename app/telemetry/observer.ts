import type { AdmissionObserver } from '../../policies/limits/admission-queue.ts'
import type { BreakerStateName } from '../../policies/resilience/breaker.ts'
import type { Outcome } from '../../policies/resilience/outcome.ts'
import type { RelayEvents } from '../relay/relay.ts'
import { lockedModels } from '../workers/describe-worker.ts'
import type { Discovery, DiscoveryEvents } from '../workers/discovery/discovery.ts'
import type { Chosen, Pool, PoolEvents } from '../workers/pool.ts'
import type { ProbeEvents } from '../workers/probe.ts'
import type { RegistryEvents, WorkerRegistry } from '../workers/registry.ts'
import { remedyFor } from '../workers/remedy.ts'
import type { Worker } from '../workers/worker.ts'
import { admissionCounts } from './admission-counts.ts'
import type { CounterSeries } from './bound-counter.ts'
import { DecisionCounts } from './decision-counts.ts'
import { EventLoopLag } from './event-loop-lag.ts'
import { droppedLines, type Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { WorkerFacts } from './worker-facts.ts'

export interface ObserverOptions {
  readonly metrics: Metrics
  readonly log: Log
  /** Name of the selection policy. */
  readonly policy: string
  /** Share of a prompt from which on a worker counts as holding it. Default 0.3. */
  readonly cacheThreshold?: number
}

const outcomes: readonly Outcome[] = ['success', 'failure', 'neutral']
/** All that a breaker can do. */
const breakerMoves = [
  ['closed', 'open'],
  ['open', 'half_open'],
  ['half_open', 'closed'],
  ['half_open', 'open'],
] as const
const stateNumbers: Record<BreakerStateName, number> = { closed: 0, open: 1, half_open: 2 }

/** The series of one worker, looked up once instead of with every request. */
interface WorkerSeries {
  readonly processed: CounterSeries
  readonly again: CounterSeries
  readonly outcome: Readonly<Record<Outcome, CounterSeries>>
}

/**
 * What the parts report becomes metrics and log lines here and nowhere else.
 * Gauges are read from the workers when Prometheus asks: a gauge that is kept by hand is wrong sooner or later.
 */
export class Observer implements PoolEvents, ProbeEvents, RegistryEvents, DiscoveryEvents, RelayEvents {
  readonly #metrics: Metrics
  readonly #log: Log
  readonly #decisions: DecisionCounts
  readonly #series = new Map<Worker, WorkerSeries>()
  readonly #urls = new Set<string>()
  readonly #facts: WorkerFacts
  #droppedLines = 0
  #readMembership = (): void => {}

  constructor({ metrics, log, policy, cacheThreshold = 0.3 }: ObserverOptions) {
    this.#metrics = metrics
    this.#decisions = new DecisionCounts(metrics, policy, cacheThreshold)
    this.#log = log
    this.#facts = new WorkerFacts(metrics)
    this.admission = admissionCounts(metrics)
  }

  readonly lag = new EventLoopLag()

  readonly admission: AdmissionObserver

  buffersFull(): void {
    this.#metrics.rejected.of('buffers_full').inc()
  }

  rateLimited(): void {
    this.#metrics.rejected.of('rate_limited').inc()
  }

  /** Another policy chooses from now on: the series of the one before go. */
  policyChanged(policy: string, cacheThreshold: number): void {
    this.#decisions.changed(policy, cacheThreshold)
  }

  /** The configuration was read anew, and taken over or not. */
  reloaded(ok: boolean): void {
    this.#metrics.reloadSuccess.set(ok ? 1 : 0)
    if (ok) this.#metrics.reloadTime.set(Date.now() / 1000)
  }

  // --- pool ---

  added(worker: Worker): void {
    const { processed, outcomes: outcome, transitions, workerRetries } = this.#metrics
    const { url } = worker
    this.#metrics.workerRefusals.of(url)
    this.#urls.add(url)
    // Zero from the start: a rate over a series that does not exist yet misses its first increase.
    this.#series.set(worker, {
      processed: processed.of(url),
      again: workerRetries.of(url),
      outcome: {
        success: outcome.of(url, 'success'),
        failure: outcome.of(url, 'failure'),
        neutral: outcome.of(url, 'neutral'),
      },
    })
    for (const [from, to] of breakerMoves) transitions.of(url, from, to)
    this.#decisions.added(url)
    this.#log.info({ worker: worker.url, worker_id: worker.id }, 'worker added')
  }

  removed(worker: Worker): void {
    this.#series.delete(worker)
    this.#urls.delete(worker.url)
    const {
      processed,
      outcomes: outcome,
      transitions,
      workerHealth,
      workerBusy,
      workerRetries,
      workerRefusals,
      running,
      breakerState,
    } = this.#metrics
    const { url } = worker
    processed.remove(url)
    workerRetries.remove(url)
    workerRefusals.remove(url)
    this.#decisions.removed(url)
    for (const name of outcomes) outcome.remove(url, name)
    for (const [from, to] of breakerMoves) transitions.remove(url, from, to)
    for (const gauge of [workerHealth, workerBusy, running, breakerState]) gauge.remove({ worker: url })
    this.#facts.forget(worker)
    this.#log.info({ worker: worker.url, worker_id: worker.id }, 'worker removed')
  }

  selected(worker: Worker, inPanic: boolean, { why, expected, again }: Chosen): void {
    this.#decisions.chosen(worker.url, why)
    if (again) this.#series.get(worker)?.again.inc()
    if (expected !== undefined) this.#decisions.expected(expected)
    if (inPanic) this.#metrics.panicSelections.of().inc()
  }

  panicChanged(panic: boolean, healthy: number, total: number): void {
    if (panic) this.#log.warn({ healthy, total }, 'panic: workers with silent probes are used')
    else this.#log.info({ healthy, total }, 'panic is over')
  }

  busyChanged(worker: Worker): void {
    const { known, remainingMs } = worker.standBack
    if (known) this.#log.warn({ worker: worker.url, pause_ms: Math.round(remainingMs) }, 'worker busy')
    else this.#log.info({ worker: worker.url }, 'worker has room again')
  }

  started(worker: Worker): void {
    this.#series.get(worker)?.processed.inc()
  }

  ended(): void {}

  judged(worker: Worker, outcome: Outcome): void {
    this.#series.get(worker)?.outcome[outcome].inc()
  }

  breakerMoved(url: string, from: BreakerStateName, to: BreakerStateName, reason: string): void {
    // A stream of a worker that is gone may still move its breaker: its series must not come back.
    if (this.#urls.has(url)) this.#metrics.transitions.of(url, from, to).inc()
    const level = to === 'open' ? 'warn' : 'info'
    this.#log[level](
      { worker: url, from, to, ...(reason === '' ? {} : { reason }) },
      `breaker ${to.replace('_', ' ')}`,
    )
  }

  // --- probes ---

  healthChanged(worker: Worker, from: Worker['health'], to: Worker['health']): void {
    const reason = to.name === 'unhealthy' ? { reason: to.reason } : {}
    const level = to.name === 'unhealthy' ? 'warn' : 'info'
    this.#log[level](
      { worker: worker.url, worker_id: worker.id, from: from.name, to: to.name, ...reason },
      `worker ${to.name}`,
    )
  }

  notUp(worker: Worker): void {
    const error = worker.lastError?.message
    this.#log.warn(
      { worker: worker.url, worker_id: worker.id, error, remedy: remedyFor(error) },
      'worker is not up; still probing',
    )
  }

  modelsLocked(worker: Worker): void {
    this.#log.warn({ worker: worker.url, reason: lockedModels }, 'worker does not list its models')
  }

  drainingChanged(worker: Worker): void {
    this.#log.info(
      { worker: worker.url, worker_id: worker.id, in_flight: worker.inFlight },
      worker.draining ? 'worker draining' : 'worker serving again',
    )
  }

  // --- membership ---

  refused(source: string, url: string): void {
    this.#log.warn({ source, worker: url }, 'worker left out: not in --worker-url-allow')
  }

  sourceFailed(source: string, activity: string, reason: string, first: boolean): void {
    this.#metrics.discoveryErrors.of(source).inc()
    const level = first ? 'warn' : 'debug'
    this.#log[level]({ source, activity, reason }, 'discovery failed; keeping the last known workers')
  }

  sourceRecovered(source: string, activity: string): void {
    this.#log.info({ source, activity }, 'discovery works again')
  }

  // --- relay ---

  retried(call: Parameters<RelayEvents['retried']>[0], attempt: number, delayMs: number): void {
    this.#metrics.retries.of(call.record.route).inc()
    if (delayMs > 0) this.#metrics.backoff.of(String(attempt)).observe(delayMs / 1000)
  }

  retriesExhausted(call: Parameters<RelayEvents['retriesExhausted']>[0]): void {
    this.#metrics.retriesExhausted.of(call.record.route).inc()
  }

  attemptFailed(...[call, worker, failure]: Parameters<RelayEvents['attemptFailed']>): void {
    const { record } = call
    const { fault, reason } = failure.details
    // Of a worker that is gone: its series must not come back.
    if (fault === 'busy' && this.#urls.has(worker.url)) this.#metrics.workerRefusals.of(worker.url).inc()
    this.#log.warn(
      {
        request_id: record.requestId,
        worker: worker.url,
        worker_id: worker.id,
        attempt: record.attempts,
        reason,
      },
      'attempt failed',
    )
  }

  // --- scrape ---

  /** Shows the sources of membership, from now on, whenever the gauges are read. */
  follow(discovery: Discovery, registry: WorkerRegistry): void {
    const { discoveryAge, discoveryWorkers, discoveryErrors } = this.#metrics
    for (const { source } of discovery.status()) discoveryErrors.of(source)
    this.#readMembership = () => {
      for (const { source, ageMs } of discovery.status())
        if (ageMs !== undefined) discoveryAge.set({ source }, ageMs / 1000)
      for (const [source, count] of registry.counts()) discoveryWorkers.set({ source }, count)
    }
  }

  /** Of the log; to be called before the metrics are shown. */
  countDroppedLines(): void {
    const dropped = droppedLines(this.#log)
    this.#metrics.logDropped.of().inc(dropped - this.#droppedLines)
    this.#droppedLines = dropped
  }

  /**
   * Reads the gauges from the parts themselves; call right before the registry is printed.
   * @param bufferedBytes what the bodies of requests take up now
   */
  refreshGauges(pool: Pool, bufferedBytes: number): void {
    const { activeWorkers, workerHealth, workerBusy, running, breakerState } = this.#metrics
    const { residentMemory, eventLoopLag } = this.#metrics
    residentMemory.set(process.memoryUsage.rss())
    eventLoopLag.set(this.lag.takeWorst())
    this.#metrics.bufferedBytes.set(bufferedBytes)
    this.countDroppedLines()
    this.#readMembership()
    activeWorkers.set(pool.availableCount)
    for (const worker of pool.workers) {
      const label = { worker: worker.url }
      workerHealth.set(label, worker.health.name === 'healthy' ? 1 : 0)
      workerBusy.set(label, worker.standBack.known ? 1 : 0)
      running.set(label, worker.inFlight)
      breakerState.set(label, stateNumbers[worker.breakerState.name])
      this.#facts.show(worker)
    }
  }
}
