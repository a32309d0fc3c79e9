import type { EngineFacts } from '../../policies/selection/policy.ts'

/**
 * Sum of one of vLLM's metrics over all of its series (with data parallelism there is one per engine), read out of the
 * Prometheus text without parsing the rest; undefined where the worker does not expose it.
 */
export function sumOf(metrics: string, name: string): number | undefined {
  let sum: number | undefined
  for (let at = metrics.indexOf(`\n${name}`); at !== -1; at = metrics.indexOf(`\n${name}`, at + 1)) {
    const end = metrics.indexOf('\n', at + 1)
    const line = metrics.slice(at + 1 + name.length, end === -1 ? undefined : end)
    const value = /^(?:\{.*\})? (\S+)/.exec(line)?.[1]
    if (value !== undefined) sum = (sum ?? 0) + Number(value)
  }
  return sum
}

/** What a worker said of its own load, and when. */
export interface WorkerLoad {
  readonly at: Date
  readonly running: number | undefined
  readonly waiting: number | undefined
  /** Share of the KV cache in use, 0..1; with several engines their sum. */
  readonly kvCacheUsage: number | undefined
}

/** What selection policies read of it. */
export function readEngine(
  metrics: string,
  load: WorkerLoad,
  own: { readonly at: number; readonly inFlight: number; readonly waiting: number },
): EngineFacts {
  const { running = 0, waiting = 0 } = load
  const foreign = Math.max(0, running + waiting - own.inFlight)
  return {
    at: own.at,
    own: own.inFlight,
    foreign,
    foreignWaiting: Math.min(foreign, Math.max(0, waiting - own.waiting)),
    cacheQueries: prefixCache(metrics, 'queries'),
    cacheHits: prefixCache(metrics, 'hits'),
    cacheTokens: cacheTokens(metrics),
  }
}

function prefixCache(metrics: string, what: 'queries' | 'hits'): number | undefined {
  return (
    sumOf(metrics, `vllm:prefix_cache_${what}_total`) ?? sumOf(metrics, `vllm:gpu_prefix_cache_${what}_total`)
  )
}

/** vLLM tells the size of its cache in the labels of a series; with data parallelism there is one per engine. */
function cacheTokens(metrics: string): number | undefined {
  let tokens: number | undefined
  for (const [labels] of metrics.matchAll(/^vllm:cache_config_info\{.*$/gm)) {
    const blocks = Number(/[{,]num_gpu_blocks="(\d+)"/.exec(labels)?.[1])
    const blockTokens = Number(/[{,]block_size="(\d+)"/.exec(labels)?.[1])
    if (blocks * blockTokens > 0) tokens = (tokens ?? 0) + blocks * blockTokens
  }
  return tokens
}

export function readLoad(metrics: string): WorkerLoad {
  return {
    at: new Date(),
    running: sumOf(metrics, 'vllm:num_requests_running'),
    waiting: sumOf(metrics, 'vllm:num_requests_waiting'),
    kvCacheUsage: sumOf(metrics, 'vllm:kv_cache_usage_perc') ?? sumOf(metrics, 'vllm:gpu_cache_usage_perc'),
  }
}
