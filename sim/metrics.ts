/** `/metrics`: the series of vLLM that a gateway reads, under vLLM's own names. */
import type { SimContext } from './call.ts'
import { iterationBuckets } from './engine.ts'
import { blockTokens } from './prefix-cache.ts'

export function metricsText(sim: SimContext): string {
  const { engine, settings } = sim
  const labels = `engine="0",model_name="${escaped(settings.models[0])}"`
  const blocks = `block_size="${blockTokens}",engine="0",num_gpu_blocks="${settings.kvBlocks}"`
  const gauge = (name: string, help: string, value: number) => series('gauge', name, help, labels, value)
  const counter = (name: string, help: string, value: number) =>
    series('counter', `${name}_total`, help, labels, value)
  return [
    gauge('vllm:num_requests_running', 'Number of requests in model execution batches.', engine.running.size),
    gauge('vllm:num_requests_waiting', 'Number of requests waiting to be processed.', engine.waiting),
    gauge('vllm:kv_cache_usage_perc', 'KV-cache usage. 1 means 100 percent usage.', kvUsage(sim)),
    counter('vllm:prefix_cache_queries', 'Prefix cache queries, in tokens.', engine.cache.queries),
    counter('vllm:prefix_cache_hits', 'Prefix cache hits, in tokens.', engine.cache.hits),
    counter('vllm:prompt_tokens', 'Number of prefill tokens processed.', engine.promptTokens),
    counter('vllm:generation_tokens', 'Number of generation tokens processed.', engine.generatedTokens),
    counter('vllm:request_success', 'Count of successfully processed requests.', sim.ledger.ended.completed),
    iterations(sim, labels),
    series('gauge', 'vllm:cache_config_info', 'Information of the LLMEngine CacheConfig', blocks, 1),
    series(
      'gauge',
      'vllm:lora_requests_info',
      'Running stats on lora requests.',
      'max_lora="0",running_lora_adapters="",waiting_lora_adapters=""',
      sim.startedAt,
    ),
  ].join('')
}

function series(type: string, name: string, help: string, labels: string, value: number): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name}{${labels}} ${value}\n`
}

function iterations({ engine }: SimContext, labels: string): string {
  const name = 'vllm:iteration_tokens_total'
  let count = 0
  let text = `# HELP ${name} Histogram of number of tokens per engine_step.\n# TYPE ${name} histogram\n`
  for (const [index, times] of engine.iterations.entries()) {
    const bound = iterationBuckets[index]
    count += times
    text += `${name}_bucket{${labels},le="${bound === undefined ? '+Inf' : `${bound}.0`}"} ${count}\n`
  }
  return `${text}${name}_sum{${labels}} ${engine.generatedTokens}\n${name}_count{${labels}} ${count}\n`
}

/** Share of the blocks that running requests fill with prompt and output. */
function kvUsage({ engine, settings }: SimContext): number {
  let blocks = 0
  for (const { task, emitted } of engine.running) {
    blocks += Math.ceil((task.promptTokens + emitted * task.tokensPerStep) / blockTokens)
  }
  return Math.min(1, blocks / settings.kvBlocks)
}

function escaped(label: string): string {
  return label.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')
}
