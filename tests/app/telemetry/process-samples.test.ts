/** The metrics of several processes as those of one router. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { samplesOf } from '../../../app/telemetry/exposition.ts'
import { createMetrics, type Metrics } from '../../../app/telemetry/metrics.ts'
import { ProcessSamples } from '../../../app/telemetry/process-samples.ts'
import { metricValue, parseMetrics } from '../../support/metrics.ts'

async function shown(samples: ProcessSamples, own = createMetrics()) {
  const { text } = await samples.exposition(own)
  const metrics = parseMetrics(text)
  return (name: string, labels = {}) => metricValue(metrics, `vllm_router_${name}`, labels)
}

async function note(samples: ProcessSamples, id: number, fill: (metrics: Metrics) => void) {
  const metrics = createMetrics()
  fill(metrics)
  samples.note(id, JSON.parse(JSON.stringify(await samplesOf(metrics))))
}

const worker = 'http://a:8000'
const route = '/v1/completions'

test('counters and histograms are added up, views of workers are the worst of them', async () => {
  const samples = new ProcessSamples()
  for (const [id, state] of [
    [1, 2],
    [2, 1],
    [3, 0],
  ] as const) {
    await note(samples, id, (metrics) => {
      metrics.requests.of(route, '200').inc(id)
      metrics.duration.of(route).observe(id)
      metrics.running.set({ worker }, id)
      metrics.activeWorkers.set(id + 4)
      metrics.workerHealth.set({ worker }, id === 3 ? 0 : 1)
      metrics.breakerState.set({ worker }, state)
      metrics.eventLoopLag.set(id)
      metrics.residentMemory.set(100)
      metrics.processes.set(1)
      metrics.buildInfo.set({ version: '1', runtime: 'node', runtime_version: '24' }, 1)
    })
  }
  const own = createMetrics()
  own.residentMemory.set(50)
  own.queueDepth.set(4)
  own.processRestarts.of().inc(2)
  const value = await shown(samples, own)
  assert.equal(value('requests_total'), 6)
  assert.equal(value('generate_duration_seconds_count'), 3)
  assert.equal(value('generate_duration_seconds_sum'), 6)
  assert.equal(value('generate_duration_seconds_bucket', { le: '2.5' }), 2)
  assert.equal(value('running_requests'), 6)
  assert.equal(value('active_workers'), 5)
  assert.equal(value('worker_health'), 0)
  assert.equal(value('cb_state'), 1, 'open is worse than half open')
  assert.equal(value('event_loop_lag_seconds'), 3)
  assert.equal(value('process_resident_memory_bytes'), 350, 'with the supervisor')
  assert.equal(value('processes'), 3)
  assert.equal(value('build_info'), 1)
  assert.equal(value('queue_depth'), 4)
  assert.equal(value('process_restarts_total'), 2)
})

test('half open is worse than closed', async () => {
  const samples = new ProcessSamples()
  await note(samples, 1, (metrics) => metrics.breakerState.set({ worker }, 2))
  await note(samples, 2, (metrics) => metrics.breakerState.set({ worker }, 0))
  assert.equal((await shown(samples))('cb_state'), 2)
})

test('what a process had counted stays when it is gone; its gauges go', async () => {
  const samples = new ProcessSamples()
  const fill = (metrics: Metrics) => {
    metrics.processed.of(worker).inc(10)
    metrics.requests.of(route, '200').inc(10)
    metrics.duration.of(route).observe(1)
    metrics.running.set({ worker }, 3)
  }
  await note(samples, 1, fill)
  await note(samples, 2, fill)
  for (let id = 1; id <= 3; id++) {
    samples.retire(id)
    await note(samples, id + 2, fill)
    const value = await shown(samples)
    assert.equal(value('requests_total'), 20 + id * 10)
    assert.equal(value('generate_duration_seconds_count'), 2 + id)
    assert.equal(value('running_requests'), 6)
  }
  for (const id of [4, 5]) samples.retire(id)
  assert.equal((await shown(samples))('requests_total'), 50, 'with no process left')
})

test('the counters of a worker that the router has no more go with it', async () => {
  const samples = new ProcessSamples()
  const gone = 'http://gone:8000'
  await note(samples, 1, (metrics) => {
    for (const url of [worker, gone]) metrics.processed.of(url).inc(5)
  })
  samples.retire(1)
  await note(samples, 2, (metrics) => metrics.processed.of(worker).inc(1))
  const value = await shown(samples)
  assert.equal(value('processed_requests_total', { worker }), 6)
  assert.equal(value('processed_requests_total', { worker: gone }), undefined)
})

test('figures are the totals of /metrics without probes, and stay so when a process is gone', async () => {
  const samples = new ProcessSamples()
  const fill = (by: number) => (metrics: Metrics) => {
    metrics.requests.of(route, '200').inc(by)
    metrics.requests.of('/health', '200').inc(1000)
    metrics.requests.of('/v1/chat/completions', '503').inc(by)
    metrics.errors.of(route, 'no_available_worker').inc(by)
    metrics.retries.of(route).inc(by)
    metrics.tokens.of('m', 'prompt').inc(by)
    metrics.tokens.of('n', 'completion').inc(by)
    metrics.firstToken.of('m').observe(0.3)
    metrics.firstToken.of('n').observe(0.003)
    metrics.processed.of(worker).inc(by)
  }
  await note(samples, 1, fill(2))
  await note(samples, 2, fill(3))
  const own = createMetrics()
  own.queueDepth.set(7)
  const figures = await samples.figures(own)
  assert.deepEqual(
    { ...figures, first_token: undefined },
    {
      requests: { 200: 5, 503: 5 },
      errors: { no_available_worker: 5 },
      retries: 5,
      tokens: { prompt: 5, completion: 5 },
      queued: 7,
      first_token: undefined,
    },
  )
  const { bounds, counts } = figures.first_token
  assert.deepEqual([counts.length, counts.at(-1)], [bounds.length + 1, 4])
  assert.deepEqual(
    [counts[bounds.indexOf(0.005)], counts[bounds.indexOf(0.25)], counts[bounds.indexOf(0.5)]],
    [2, 2, 4],
  )
  samples.retire(1)
  assert.deepEqual(await samples.figures(own), figures)
})

test('samples of some metrics replace those of the same metrics, and the others stay', async () => {
  const samples = new ProcessSamples()
  await note(samples, 1, (metrics) => {
    metrics.retries.of(route).inc(1)
    metrics.processed.of(worker).inc(10)
  })
  const later = createMetrics()
  later.retries.of(route).inc(4)
  samples.note(1, JSON.parse(JSON.stringify(await samplesOf(later, ['vllm_router_retries_total']))))
  const value = await shown(samples)
  assert.deepEqual([value('retries_total'), value('processed_requests_total')], [4, 10])
})

test('what a process that is gone had counted of a worker stays while no other has said which workers there are', async () => {
  const samples = new ProcessSamples()
  await note(samples, 1, (metrics) => metrics.processed.of(worker).inc(10))
  samples.retire(1)
  samples.note(2, JSON.parse(JSON.stringify(await samplesOf(createMetrics(), ['vllm_router_retries_total']))))
  assert.equal((await shown(samples))('processed_requests_total', { worker }), 10)
})
