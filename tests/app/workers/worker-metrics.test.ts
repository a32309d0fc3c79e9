import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readLoad, sumOf } from '../../../app/workers/worker-metrics.ts'

const metrics = `# HELP vllm:num_requests_running Running.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a b{c}"} 3.0
vllm:num_requests_running{engine="1",model_name="a b{c}"} 4
vllm:num_requests_running_other 100
vllm:num_requests_waiting 2
vllm:kv_cache_usage_perc{engine="0"} 0.25
`

describe("a worker's own metrics", () => {
  test('are summed over its engines, and a longer name is another metric', () => {
    assert.equal(sumOf(metrics, 'vllm:num_requests_running'), 7)
  })

  test('read as undefined where the worker does not expose them', () => {
    assert.equal(sumOf(metrics, 'vllm:no_such_metric'), undefined)
    assert.equal(sumOf('', 'vllm:num_requests_running'), undefined)
  })

  test('give its load, with the older name of the cache usage too', () => {
    const { running, waiting, kvCacheUsage } = readLoad(metrics)
    assert.deepEqual({ running, waiting, kvCacheUsage }, { running: 7, waiting: 2, kvCacheUsage: 0.25 })
    assert.equal(readLoad(metrics.replace('vllm:kv_', 'vllm:gpu_')).kvCacheUsage, 0.25)
  })
})
