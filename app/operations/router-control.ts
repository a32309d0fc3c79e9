import type { DryRun, DryRunRequest } from '../request/dry-run.ts'
import type { RequestFilter, RequestView } from '../request/request-view.ts'
import type { UsageFilter, UsageReport } from '../usage/usage-report.ts'
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

/** How much of a limit per minute is used up. */
export interface LimitState {
  readonly limit: number
  readonly used: number
  readonly remaining: number
  /** Seconds until all of it is there again, if nothing more comes. */
  readonly reset_seconds: number
}

/** What one tenant has used up; null: it has no such limit. */
export interface TenantView {
  readonly tenant: string
  readonly requests: LimitState | null
  readonly prompt_tokens: LimitState | null
  readonly completion_tokens: LimitState | null
  /** Of this router alone. */
  readonly requests_in_flight: { readonly limit: number | null; readonly used: number }
}

export interface TenantLimitsView {
  /** Where several routers share the limits; null: they are those of this router. */
  readonly store: { readonly address: string; readonly up: boolean } | null
  /** Those that have limits. */
  readonly tenants: readonly TenantView[]
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
  /** What tenants have used up of their limits. */
  tenantLimits(): Promise<TenantLimitsView>
  /** What tenants have used, hour by hour. Rejects where not all of it can be read. */
  usage(filter: UsageFilter): Promise<UsageReport>
  settings(): Promise<ConfigView>
  /** Reads the configuration anew and takes it over, all of it or nothing. */
  reload(): Promise<ReloadResult>
  /** Has every worker empty its prefix cache. */
  flushCaches(): Promise<readonly FlushResult[]>
}
