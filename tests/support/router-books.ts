/** What a router says of itself once requests have ended: its access log and its gauges. */

import assert from 'node:assert/strict'
import { eventually, eventuallyHolds } from './deadline.ts'
import { type Metrics, metricValue, samplesOf } from './metrics.ts'
import type { LogLine, RouterProcess } from './router-process.ts'

/** One line for each client request that has ended, in the order of their ends. */
export function accessLog(router: RouterProcess): LogLine[] {
  return router.logs().filter(({ msg }) => msg === 'request')
}

/** How many requests ended in which way, by `end_reason`. */
export function endReasons(lines: readonly LogLine[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { end_reason } of lines) counts[String(end_reason)] = (counts[String(end_reason)] ?? 0) + 1
  return counts
}

/** Waits for so many lines in the access log and returns them: more than `count` is an error. */
export async function accessLogOf(router: RouterProcess, count: number): Promise<LogLine[]> {
  const what = `${count} lines in the access log`
  const lines = await eventually(
    () => {
      const lines = accessLog(router)
      return lines.length >= count && lines
    },
    { what, everyMs: 20 },
  )
  assert.equal(lines.length, count, what)
  return lines
}

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
