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

export function readLoad(metrics: string): WorkerLoad {
  return {
    at: new Date(),
    running: sumOf(metrics, 'vllm:num_requests_running'),
    waiting: sumOf(metrics, 'vllm:num_requests_waiting'),
    kvCacheUsage: sumOf(metrics, 'vllm:kv_cache_usage_perc') ?? sumOf(metrics, 'vllm:gpu_cache_usage_perc'),
  }
}
