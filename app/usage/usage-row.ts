/** What is counted. Tokens are those of `vllm_router_tokens_total`. */
export interface UsageCounts {
  /** Requests that were sent to a worker and have ended. */
  readonly requests: number
  readonly prompt_tokens: number
  /** Of the prompt tokens, those that the worker had in its prefix cache. */
  readonly cached_tokens: number
  readonly completion_tokens: number
  /** Of the requests, those of which the worker told no usage: their prompts are missing, their answers are estimated. */
  readonly unmetered_requests: number
  /** Time of workers: each moment of one is divided by the requests that this process had on it. */
  readonly worker_seconds: number
}

export const usageFields = [
  'requests',
  'prompt_tokens',
  'cached_tokens',
  'completion_tokens',
  'unmetered_requests',
  'worker_seconds',
] as const satisfies readonly (keyof UsageCounts)[]

/** What one tenant has used of one model within one hour. */
export interface UsageRow extends UsageCounts {
  /** Hours since 1970, UTC. */
  readonly hour: number
  /** Empty: requests without a tenant. */
  readonly tenant: string
  readonly model: string
}

export const hourMs = 3_600_000

export type UsageSums = { -readonly [K in keyof UsageCounts]: number }

export const nothing: UsageCounts = {
  requests: 0,
  prompt_tokens: 0,
  cached_tokens: 0,
  completion_tokens: 0,
  unmetered_requests: 0,
  worker_seconds: 0,
}

export function sumOf(rows: Iterable<UsageCounts>): UsageSums {
  const sums: UsageSums = { ...nothing }
  for (const row of rows) for (const field of usageFields) sums[field] += row[field]
  return sums
}
