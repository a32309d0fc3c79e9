import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readEngine, readLoad, sumOf } from '../../../app/workers/worker-metrics.ts'

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

describe('what a selection policy reads of them', () => {
  const load = (running: number, waiting: number) => ({ ...readLoad(''), running, waiting })
  const own = { at: 7, inFlight: 4, waiting: 1 }

  test('is what others than this router have running and waiting there', () => {
    const { at, own: mine, foreign, foreignWaiting } = readEngine('', load(5, 3), own)
    assert.deepEqual([at, mine, foreign, foreignWaiting], [7, 4, 4, 2])
  })

  test('is never less than nothing, nor more waiting than there is', () => {
    const less = readEngine('', load(1, 0), own)
    assert.deepEqual([less.foreign, less.foreignWaiting], [0, 0])
    const waiting = readEngine('', load(0, 6), own)
    assert.deepEqual([waiting.foreign, waiting.foreignWaiting], [2, 2])
    assert.equal(readEngine('', readLoad(''), own).foreign, 0)
  })

  test('is its prefix cache, by the older names too', () => {
    const text =
      '\nvllm:prefix_cache_queries_total{engine="0"} 100\nvllm:prefix_cache_hits_total{engine="0"} 60\n'
    for (const metrics of [text, text.replaceAll('vllm:', 'vllm:gpu_')]) {
      const { cacheQueries, cacheHits } = readEngine(metrics, load(0, 0), own)
      assert.deepEqual([cacheQueries, cacheHits], [100, 60])
    }
  })

  test('is the size of its cache, over all engines that tell it', () => {
    const engine = (blocks: string) =>
      `vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="${blocks}"} 1.0\n`
    const tokens = (text: string) => readEngine(text, load(0, 0), own).cacheTokens
    assert.equal(tokens(engine('100') + engine('50')), 2400)
    assert.equal(tokens(engine('None')), undefined)
    assert.equal(tokens(engine('0')), undefined)
    assert.equal(tokens(''), undefined)
  })
})

test('the last line counts although no line end follows', () => {
  assert.equal(sumOf('# x\nvllm:num_requests_running 12', 'vllm:num_requests_running'), 12)
})
