/** What a router says of itself once requests have ended: its gauges. */

import assert from 'node:assert/strict'
import { eventually, eventuallyHolds } from './deadline.ts'
import { type Metrics, metricValue, samplesOf } from './metrics.ts'
import type { RouterProcess } from './router-process.ts'

/** Nothing is left: every worker's gauge is exactly 0, nobody waits. Returns the metrics of that moment. */
export async function booksClosed(router: RouterProcess, withinMs = 5000): Promise<Metrics> {
  let metrics: Metrics | undefined
  await eventuallyHolds(
    async () => {
      metrics = await router.metrics()
      for (const { labels, value } of samplesOf(metrics, 'vllm_router_running_requests')) {
        assert.equal(value, 0, `running_requests of ${labels.worker}`)
      }
      assert.equal(metricValue(metrics, 'vllm_router_queue_depth'), 0, 'queue_depth')
    },
    { what: 'the gauges of an idle router', withinMs, everyMs: 20 },
  )
  if (metrics === undefined) throw new Error('no metrics')
  return metrics
}

/** Attempts by outcome over all workers. */
export function outcomes(metrics: Metrics): { success: number; failure: number; neutral: number } {
  const of = (outcome: string): number =>
    metricValue(metrics, 'vllm_router_cb_outcomes_total', { outcome }) ?? 0
  return { success: of('success'), failure: of('failure'), neutral: of('neutral') }
}

/** Waits until the router may send requests to so many workers. */
export async function workersReady(router: RouterProcess, count = 1, withinMs = 10_000): Promise<void> {
  await eventually(async () => (await router.metric('vllm_router_active_workers')) === count, {
    what: `${count} active workers`,
    withinMs,
    everyMs: 20,
  })
}
