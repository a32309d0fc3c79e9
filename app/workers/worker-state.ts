/** A worker as `GET /workers` shows it. */
export interface WorkerState {
  readonly id: string
  readonly url: string
  readonly available: boolean
  readonly unavailable_reason: string | null
  readonly health: 'starting' | 'healthy' | 'unhealthy'
  readonly health_reason: string | null
  /** Why others are chosen first although it is available: `busy` or `no_sign_of_life`. */
  readonly last_choice: 'busy' | 'no_sign_of_life' | null
  /** When a busy worker is asked again. */
  readonly busy_until: string | null
  readonly in_flight: number
  readonly draining: boolean
  /** How much of the work it should get, beside others. */
  readonly weight: number
  readonly breaker: BreakerView
  readonly last_error: { readonly at: string; readonly message: string } | null
  readonly models: readonly string[] | null
  /** Why the router does not know them, and what would help. */
  readonly models_hidden?: string | null
  readonly load: LoadView | null
  /** What it has done within the last minute. */
  readonly recent: RecentView
  /** Requests that it has given no sign of life on, and since when it has given none at all. */
  readonly waiting: WaitingView
}

export interface BreakerView {
  readonly state: 'disabled' | 'closed' | 'half_open' | 'open'
  readonly reason: string | null
  readonly until: string | null
}

export interface WaitingView {
  readonly requests: number
  readonly quiet_seconds: number
}

export interface LoadView {
  readonly at: string
  readonly age_seconds: number
  readonly running: number | null
  readonly waiting: number | null
  readonly kv_cache_usage: number | null
}

/** What a worker has done within the last minute. */
export interface RecentView {
  /** Seconds that it covers. */
  readonly seconds: number
  readonly attempts: number
  /** Attempts at requests that another worker had failed or refused. */
  readonly retries: number
  readonly failures: number
  /** Answers that said it was busy (429, 503). */
  readonly refusals: number
  /** Of the answers that ended within that time. */
  readonly completion_tokens: number
  /** Of streams, from sending the request to their first token; null where there was none. */
  readonly first_token_ms: { readonly p50: number; readonly p95: number } | null
}
