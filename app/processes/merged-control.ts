import { RouterError } from '../../http/errors.ts'
import type {
  ConfigView,
  FlushResult,
  ReloadResult,
  RouterControl,
  TenantLimitsView,
  Vitals,
} from '../operations/router-control.ts'
import type { DryRun, DryRunRequest, LimitsView } from '../request/dry-run.ts'
import type { RequestFilter, RequestView } from '../request/request-view.ts'
import { type Clock, within } from '../runtime/clock.ts'
import { usualLimit } from '../telemetry/recent-requests.ts'
import type { UsageFilter, UsageReport } from '../usage/usage-report.ts'
import type { WorkerState } from '../workers/worker-state.ts'
import { mergeTenantLimits } from './merge-tenant-limits.ts'
import { mergeWorker, mergeWorkers, worstHealth } from './merge-workers.ts'

export interface MergedControlOptions {
  /** Those of the processes that serve, the oldest first. */
  readonly controls: () => readonly RouterControl[]
  readonly draining: () => boolean
  /** Resolves when every process has what an operator has said until now. */
  readonly adopted: () => Promise<void>
  /** Resolves when no process finds that worker unhealthy any more, or after a while. */
  readonly untilHealthy: (url: string) => Promise<void>
  readonly limits: (request: DryRunRequest) => LimitsView
  readonly usage: (filter: UsageFilter) => Promise<UsageReport>
  readonly settings: () => Promise<ConfigView>
  readonly reload: () => Promise<ReloadResult>
  readonly clock: Clock
}

/** Milliseconds that a process may take to say how it is; without an answer, the others' count. */
const answerMs = 2000

/**
 * The control of several processes as one router. What is asked is asked of all, and the answers merged; what is done is
 * done in one process, whose new state of membership the others adopt before the operator gets an answer.
 */
export class MergedControl implements RouterControl {
  readonly #options: MergedControlOptions

  constructor(options: MergedControlOptions) {
    this.#options = options
  }

  async vitals(): Promise<Vitals> {
    const draining = this.#options.draining()
    const all = await this.#askAll((control) => control.vitals()).catch((error: unknown) => {
      if (draining) return []
      throw error
    })
    const workers = new Map<string, Vitals['workers'][number]>()
    for (const worker of all.flatMap((vitals) => vitals.workers)) {
      const { url, health } = worker
      const before = workers.get(url)?.health ?? health
      workers.set(url, { ...worker, health: worstHealth(before, health) })
    }
    return {
      draining,
      total: workers.size,
      available: Math.max(0, ...all.map(({ available }) => available)),
      workers: [...workers.values()],
    }
  }

  async workers(): Promise<readonly WorkerState[]> {
    return mergeWorkers(await this.#askAll((control) => control.workers()))
  }

  async worker(idOrUrl: string): Promise<WorkerState> {
    return mergeWorker(await this.#askAll((control) => control.worker(idOrUrl)))
  }

  async add(url: string): Promise<WorkerState> {
    const added = await this.#leader.add(url)
    await this.#options.adopted()
    return added
  }

  async addAndAwait(url: string, signal: AbortSignal): Promise<WorkerState> {
    const added = await this.#leader.addAndAwait(url, signal)
    await this.#options.adopted()
    await this.#options.untilHealthy(added.url)
    return added
  }

  async remove(idOrUrl: string): Promise<string> {
    const url = await this.#leader.remove(idOrUrl)
    await this.#options.adopted()
    return url
  }

  async setDraining(idOrUrl: string, draining: boolean): Promise<WorkerState> {
    const { url } = await this.#leader.setDraining(idOrUrl, draining)
    await this.#options.adopted()
    return this.worker(url)
  }

  /** Once per worker, not once per process. */
  async flushCaches(): Promise<readonly FlushResult[]> {
    return this.#leader.flushCaches()
  }

  get #leader(): RouterControl {
    const [oldest] = this.#options.controls()
    if (oldest === undefined) throw noAnswer()
    return oldest
  }

  async requests(filter: RequestFilter): Promise<readonly RequestView[]> {
    const all = (await this.#askAll((control) => control.requests(filter))).flat()
    const newest = all.toSorted((a, b) => (a.at < b.at ? 1 : -1))
    return newest.slice(0, filter.limit ?? usualLimit)
  }

  /** The view of one process; the limits are those of all together. */
  dryRun(request: DryRunRequest): Promise<DryRun> {
    return this.#leader.dryRun({ ...request, limits: this.#options.limits(request) })
  }

  async tenantLimits(): Promise<TenantLimitsView> {
    return mergeTenantLimits(await this.#askAll((control) => control.tenantLimits()))
  }

  usage(filter: UsageFilter): Promise<UsageReport> {
    return this.#options.usage(filter)
  }

  settings(): Promise<ConfigView> {
    return this.#options.settings()
  }

  reload(): Promise<ReloadResult> {
    return this.#options.reload()
  }

  /** What those say that answer in time; the error of one when nobody does. */
  async #askAll<T>(ask: (control: RouterControl) => Promise<T>): Promise<T[]> {
    const asked = this.#options
      .controls()
      .map((control) => within(this.#options.clock, answerMs, ask(control), noAnswer))
    const settled = await Promise.allSettled(asked)
    const answers = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    if (answers.length > 0) return answers
    throw settled.find((one) => one.status === 'rejected')?.reason ?? noAnswer()
  }
}

/** What a client or an operator is told meanwhile. */
function noAnswer(): RouterError {
  const message = 'no process of the router answers at this moment'
  return new RouterError('no_available_worker', message, { retryAfter: 1 })
}
