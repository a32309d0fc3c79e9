import { RouterError } from '../../http/errors.ts'
import { RequestBody } from '../../http/request-body.ts'
import type { DryRun, DryRunRequest } from '../request/dry-run.ts'
import type { RequestFilter, RequestView } from '../request/request-view.ts'
import type { Clock } from '../runtime/clock.ts'
import type { RecentRequests } from '../telemetry/recent-requests.ts'
import { type HeaderFields, type HttpClient, transportError } from '../upstream/http-client.ts'
import type { UsageFilter, UsageReport } from '../usage/usage-report.ts'
import { workerState } from '../workers/describe-worker.ts'
import type { WorkerRegistry } from '../workers/registry.ts'
import type { Worker } from '../workers/worker.ts'
import type { WorkerState } from '../workers/worker-state.ts'
import type { Lifecycle } from './lifecycle.ts'
import type {
  ConfigView,
  FlushResult,
  ReloadResult,
  RouterControl,
  TenantLimitsView,
  Vitals,
} from './router-control.ts'

export interface LocalControlOptions {
  readonly fleet: {
    readonly registry: WorkerRegistry
    readonly client: HttpClient
    /** The key for the workers. */
    readonly headers: HeaderFields
  }
  readonly lifecycle: Lifecycle
  readonly recent: Pick<RecentRequests, 'list'>
  readonly clock: Clock
  /** Milliseconds that a new worker may take until it is healthy. */
  readonly startupTimeoutMs: () => number
  readonly tenantLimits: () => TenantLimitsView
  readonly usage: (filter: UsageFilter) => Promise<UsageReport>
  readonly settings: () => ConfigView
  readonly dryRun: (request: DryRunRequest) => Promise<DryRun>
  /** Undefined: whoever made this router has to reload it. */
  readonly reload: (() => Promise<ReloadResult>) | undefined
}

/** Milliseconds between two looks at a worker that is being added. */
const lookMs = 50
/** Milliseconds that a worker may take to empty its cache. */
const flushTimeoutMs = 10_000

/** What operators see of the router of this process, and do to it. */
export class LocalControl implements RouterControl {
  readonly #options: LocalControlOptions
  readonly #registry: WorkerRegistry

  constructor(options: LocalControlOptions) {
    this.#options = options
    this.#registry = options.fleet.registry
  }

  async vitals(): Promise<Vitals> {
    const { pool } = this.#registry
    return {
      draining: this.#options.lifecycle.draining,
      total: pool.workers.length,
      available: pool.availableCount,
      workers: pool.workers.map(({ id, url, health }) => ({ id, url, health: health.name })),
    }
  }

  async workers(): Promise<readonly WorkerState[]> {
    return this.#registry.pool.workers.map(workerState)
  }

  async worker(idOrUrl: string): Promise<WorkerState> {
    return workerState(this.#known(idOrUrl))
  }

  async add(url: string): Promise<WorkerState> {
    return workerState(this.#registry.add(url))
  }

  async addAndAwait(url: string, signal: AbortSignal): Promise<WorkerState> {
    const { clock } = this.#options
    const startupTimeoutMs = this.#options.startupTimeoutMs()
    const worker = this.#registry.add(url)
    const deadline = clock.now() + startupTimeoutMs
    while (worker.health.name !== 'healthy') {
      if (worker.removed)
        throw new RouterError('invalid_request', 'the worker was removed before it was healthy')
      if (signal.aborted || clock.now() >= deadline) {
        this.#registry.withdraw(worker)
        const message = `the worker was not healthy within ${startupTimeoutMs / 1000} s: ${worker.lastError?.message ?? 'no answer'}`
        throw new RouterError('invalid_request', message, { param: 'url' })
      }
      await new Promise<void>((resolve) => clock.after(lookMs, resolve))
    }
    return workerState(worker)
  }

  async remove(idOrUrl: string): Promise<string> {
    const worker = this.#known(idOrUrl)
    this.#registry.remove(worker)
    return worker.url
  }

  async setDraining(idOrUrl: string, draining: boolean): Promise<WorkerState> {
    const worker = this.#known(idOrUrl)
    this.#registry.drain(worker, draining)
    return workerState(worker)
  }

  /** vLLM empties its prefix cache only with its development routes on. */
  flushCaches(): Promise<readonly FlushResult[]> {
    return Promise.all(this.#registry.pool.workers.map((worker) => this.#flush(worker)))
  }

  async #flush(worker: Worker): Promise<FlushResult> {
    const { clock } = this.#options
    const { client, headers } = this.#options.fleet
    const path = `${worker.pathPrefix}/reset_prefix_cache`
    const pending = client.send({
      origin: worker.origin,
      path,
      method: 'POST',
      headers,
      body: new RequestBody([]),
    })
    const cancelTimer = clock.after(flushTimeoutMs, () => pending.abort())
    try {
      const { status, body } = await pending.head
      while ((await body.read()) !== undefined) {
        // Only read to its end so that the connection can serve again.
      }
      return { worker: worker.url, ok: status < 300, detail: `status ${status}` }
    } catch (error) {
      return { worker: worker.url, ok: false, detail: transportError(error).message }
    } finally {
      cancelTimer()
    }
  }

  async requests(filter: RequestFilter): Promise<readonly RequestView[]> {
    return this.#options.recent.list(filter)
  }

  dryRun(request: DryRunRequest): Promise<DryRun> {
    return this.#options.dryRun(request)
  }

  async tenantLimits(): Promise<TenantLimitsView> {
    return this.#options.tenantLimits()
  }

  usage(filter: UsageFilter): Promise<UsageReport> {
    return this.#options.usage(filter)
  }

  async settings(): Promise<ConfigView> {
    return this.#options.settings()
  }

  async reload(): Promise<ReloadResult> {
    const { reload } = this.#options
    if (reload !== undefined) return reload()
    throw new RouterError('invalid_request', 'this router is part of a program, which has its configuration')
  }

  #known(idOrUrl: string): Worker {
    const worker = this.#registry.find(idOrUrl)
    if (worker !== undefined) return worker
    throw new RouterError('not_found', 'no such worker; GET /workers lists them', { param: 'worker' })
  }
}
