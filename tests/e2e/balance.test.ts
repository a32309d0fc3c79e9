/** 10,200 requests over seven workers: none lost, none sent twice, the same share for each, and books that agree. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startFleet } from '../../sim/fleet.ts'
import { eventually } from '../support/deadline.ts'
import { metricValue, samplesOf } from '../support/metrics.ts'
import { routerOver } from '../support/router-over.ts'
import { sendAll } from '../support/send-all.ts'
import { shared } from '../support/shared.ts'

const timeout = 60_000
const total = 10_200

const finished = shared(async (t) => {
  const fleet = await startFleet({ size: 7, recordRequests: true })
  t.after(() => fleet.close())
  const router = await routerOver(fleet.workers, { t, args: ['--policy', 'round_robin'] })
  const requests = Array.from({ length: total }, (_, index) => ({
    path: '/v1/completions',
    headers: { 'x-request-id': `request-${index}` },
    json: { model: 'facebook/opt-350m', prompt: `Test ${index}`, max_tokens: 2 },
  }))
  const answers = await sendAll(requests, { port: router.apiPort, connections: 32 })
  return { fleet, router, answers }
})

describe('10,200 requests over 7 workers with 32 at a time', () => {
  test('are all answered with 200, whole, under their own id', { timeout }, async () => {
    const { answers } = await finished()
    assert.equal(answers.length, total)
    for (const [index, { head, body }] of answers.entries()) {
      assert.equal(head.status, 200)
      assert.ok(body.complete, body.fault)
      assert.equal(head.header('x-request-id'), `request-${index}`)
      assert.equal(head.header('x-router-attempts'), '1')
      assert.ok(body.bytes.includes(`"id":"cmpl-request-${index}"`), body.bytes.toString())
    }
  })

  test('each reach exactly one worker, and each worker its share', { timeout }, async () => {
    const { fleet } = await finished()
    const stats = fleet.workers.map((worker) => worker.stats())
    const counts = stats.map(({ received }) => received)
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      total,
    )
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `counts: ${counts}`)
    assert.equal(new Set(stats.flatMap(({ receivedIds }) => receivedIds)).size, total)
    assert.ok(stats.every(({ completed, received, running }) => completed === received && running === 0))
  })

  test('are in the metrics as they were at the workers', { timeout }, async () => {
    const { fleet, router } = await finished()
    await eventually(async () => (await router.metric('vllm_router_running_requests')) === 0, {
      what: 'no request in flight',
    })
    const metrics = await router.metrics()
    for (const { url, stats } of fleet.workers) {
      const { received } = stats()
      const worker = { worker: url }
      assert.equal(metricValue(metrics, 'vllm_router_processed_requests_total', worker), received)
      assert.equal(metricValue(metrics, 'vllm_router_policy_decisions_total', worker), received)
      assert.equal(metricValue(metrics, 'vllm_router_running_requests', worker), 0)
      const outcomes = (outcome: string) =>
        metricValue(metrics, 'vllm_router_cb_outcomes_total', { ...worker, outcome })
      assert.deepEqual(['success', 'failure', 'neutral'].map(outcomes), [received, 0, 0])
    }
    assert.equal(metricValue(metrics, 'vllm_router_processed_requests_total'), total)
    const finishedRequests = samplesOf(metrics, 'vllm_router_requests_total', { route: '/v1/completions' })
    assert.deepEqual(
      finishedRequests.map(({ labels, value }) => [labels.status, value]),
      [['200', total]],
    )
    assert.equal(metricValue(metrics, 'vllm_router_generate_duration_seconds_count'), total)
    assert.equal(
      metricValue(metrics, 'vllm_router_tokens_total', { model: 'facebook/opt-350m', kind: 'completion' }),
      total * 2,
    )
  })
})
