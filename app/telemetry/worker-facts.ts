import type { Gauge } from 'prom-client'
import type { Worker } from '../workers/worker.ts'
import type { Metrics } from './metrics.ts'

/** What else is known of a worker, as gauges. One that is not known has no series: a 0 would be a claim. */
export class WorkerFacts {
  readonly #metrics: Metrics

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  /** Reads them off the worker, when Prometheus asks. */
  show(worker: Worker): void {
    const { workerWaiting, workerQuiet, workerFirstToken, engineRequests, kvCacheUsage, loadAge } =
      this.#metrics
    const { url, load, signs, quietMs } = worker
    const times = worker.recent.view().first_token_ms
    workerWaiting.set({ worker: url }, signs.waiting)
    workerQuiet.set({ worker: url }, quietMs / 1000)
    set(workerFirstToken, { worker: url, percentile: '50' }, seconds(times?.p50))
    set(workerFirstToken, { worker: url, percentile: '95' }, seconds(times?.p95))
    set(engineRequests, { worker: url, state: 'running' }, load?.running)
    set(engineRequests, { worker: url, state: 'waiting' }, load?.waiting)
    set(kvCacheUsage, { worker: url }, load?.kvCacheUsage)
    set(loadAge, { worker: url }, load && (Date.now() - load.at.getTime()) / 1000)
  }

  /** The worker is gone: its series go as well. */
  forget({ url }: Worker): void {
    const { workerWaiting, workerQuiet, workerFirstToken, engineRequests, kvCacheUsage, loadAge } =
      this.#metrics
    for (const gauge of [workerWaiting, workerQuiet, kvCacheUsage, loadAge]) gauge.remove({ worker: url })
    for (const percentile of ['50', '95']) workerFirstToken.remove({ worker: url, percentile })
    for (const state of ['running', 'waiting']) engineRequests.remove({ worker: url, state })
  }
}

function set<L extends string>(gauge: Gauge<L>, labels: Record<L, string>, value: number | undefined): void {
  if (value === undefined) gauge.remove(labels)
  else gauge.set(labels, value)
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000
}
