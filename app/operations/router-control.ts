import type { DryRun, DryRunRequest } from '../request/dry-run.ts'
import type { RequestFilter, RequestView } from '../request/request-view.ts'
import type { WorkerState } from '../workers/worker-state.ts'

/** What the probes of the router itself say. */
export interface Vitals {
  readonly draining: boolean
  readonly total: number
  /** Workers that can take a request now. */
  readonly available: number
  readonly workers: readonly Pick<WorkerState, 'id' | 'url' | 'health'>[]
}

export interface FlushResult {
  readonly worker: string
  readonly ok: boolean
  readonly detail: string
}

/** The configuration in force; keys are not shown. */
export interface ConfigView {
  /** By the names that files use. */
  readonly settings: Readonly<Record<string, string>>
  /** What came of the last reload; null before the first one. */
  readonly last_reload: ReloadResult | null
}

export interface SettingChange {
  /** Its flag. */
  readonly setting: string
  readonly before: string
  readonly after: string
}

/** What came of reading the configuration anew. */
export interface ReloadResult {
  readonly at: string
  /** The new one is in force. */
  readonly ok: boolean
  /** Flags whose values have changed. */
  readonly changed: readonly string[]
  /** Their values before and after, in the same order; those of keys are not shown. */
  readonly changes: readonly SettingChange[]
  /** Why it was not taken over, one sentence each; the one before stays in force. */
  readonly problems: readonly string[]
}

/**
 * What operators see of a router and do to it, the same for one process and for several. Workers are named by id, or by
 * URL in any spelling. Whatever is refused is a RouterError.
 */
export interface RouterControl {
  vitals(): Promise<Vitals>
  workers(): Promise<readonly WorkerState[]>
  worker(idOrUrl: string): Promise<WorkerState>
  add(url: string): Promise<WorkerState>
  /** Adds a worker and waits until it is healthy; takes it out again when that does not happen in time. */
  addAndAwait(url: string, signal: AbortSignal): Promise<WorkerState>
  /** Resolves with its URL. */
  remove(idOrUrl: string): Promise<string>
  setDraining(idOrUrl: string, draining: boolean): Promise<WorkerState>
  /** What became of the last requests, and of those that run: the newest first. */
  requests(filter: RequestFilter): Promise<readonly RequestView[]>
  /** Where a request would go now, and why. Nothing is sent, claimed, counted or learnt. */
  dryRun(request: DryRunRequest): Promise<DryRun>
  settings(): Promise<ConfigView>
  /** Reads the configuration anew and takes it over, all of it or nothing. */
  reload(): Promise<ReloadResult>
  /** Has every worker empty its prefix cache. */
  flushCaches(): Promise<readonly FlushResult[]>
}
