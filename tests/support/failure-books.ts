/** After failures: access log, counters and gauges must say the same as the test, and nothing else may have been said. */

import assert from 'node:assert/strict'
import { eventuallyHolds } from './deadline.ts'
import { samplesOf } from './metrics.ts'
import type { LogLine, RouterProcess } from './router-process.ts'

export type Counts = Readonly<Record<string, number>>

export interface ExpectedBooks {
  /** Client requests by the `end_reason` of their line in the access log. */
  readonly ends: Counts
  /** Committed streams by what ended them. */
  readonly streams?: Counts
  /** Workers, each of which must have exactly nothing in flight. */
  readonly workers: number
  /** Milliseconds, default 3000: lines are written soon after the last byte, not before it. */
  readonly withinMs?: number
}

/**
 * Asserts that the access log, `streams_ended_total`, `request_errors_total` and `requests_total` agree with the test,
 * that no request is in flight, and that nothing unexpected was printed.
 */
export async function assertBooks(router: RouterProcess, expected: ExpectedBooks): Promise<void> {
  const { ends, streams = {}, workers, withinMs = 3000 } = expected
  const assertEnds = () =>
    assert.deepEqual(tally(postLines(router).map((line) => String(line.end_reason))), withoutZeros(ends))
  await eventuallyHolds(assertEnds, { what: 'the lines of the access log', withinMs, everyMs: 50 })
  await eventuallyHolds(() => assertGauges(router, workers), { what: 'nothing in flight', withinMs })
  const metrics = await router.metrics()
  const sums = (name: string, label: string) =>
    withoutZeros(addUp(samplesOf(metrics, name).map(({ labels, value }) => [labels[label] ?? '', value])))
  assert.deepEqual(sums('vllm_router_streams_ended_total', 'reason'), withoutZeros(streams))
  const { completed: _completed, worker_error: _reported, ...errors } = ends
  assert.deepEqual(sums('vllm_router_request_errors_total', 'error_type'), withoutZeros(errors))
  await eventuallyHolds(() => assertEveryRequestCounted(router), { what: 'requests_total', withinMs })
  assertQuiet(router)
}

/** Probes are counted, and logged at `debug` only. */
const isProbe = (route: unknown): boolean => /^\/(health|liveness|readiness)$/.test(String(route))

/**
 * The access log and the counter agree on every finished request, also on those that the test did not send: a port that
 * was a worker's a moment ago may be this router's now, and still be asked for its models by somebody else.
 */
async function assertEveryRequestCounted(router: RouterProcess): Promise<void> {
  const counted = samplesOf(await router.metrics(), 'vllm_router_requests_total')
  const logged = router.logs().filter(({ msg }) => msg === 'request')
  assert.deepEqual(
    addUp(
      counted
        .filter(({ labels }) => !isProbe(labels.route))
        .map(({ labels, value }) => [labels.route ?? '', value]),
    ),
    tally(logged.map(({ route }) => String(route))),
  )
}

/** The gauge of each worker is exactly 0. */
export async function assertGauges(router: RouterProcess, workers: number): Promise<void> {
  const running = samplesOf(await router.metrics(), 'vllm_router_running_requests')
  assert.deepEqual(
    running.map(({ value }) => value),
    Array.from({ length: workers }, () => 0),
  )
}

/** No unhandled rejection, no stack trace, no stray output. */
export function assertQuiet(router: RouterProcess): void {
  assert.equal(router.stderr(), '')
  const odd = router
    .logs()
    .filter(({ notJson, level }) => notJson !== undefined || level === 'error' || level === 'fatal')
  assert.deepEqual(odd, [])
}

/** The breakers of all workers have never moved. */
export async function assertBreakersStayedClosed(router: RouterProcess): Promise<void> {
  const metrics = await router.metrics()
  const moved = samplesOf(metrics, 'vllm_router_cb_state_transitions_total').filter(({ value }) => value > 0)
  assert.deepEqual(moved, [], 'transitions of breakers')
}

/** The lines of relayed requests. */
export function postLines(router: RouterProcess): LogLine[] {
  return router.logs().filter(({ msg, method }) => msg === 'request' && method === 'POST')
}

export function tally(words: readonly string[]): Counts {
  return addUp(words.map((word) => [word, 1]))
}

function addUp(entries: readonly (readonly [string, number])[]): Counts {
  const sums: Record<string, number> = {}
  for (const [name, value] of entries) sums[name] = (sums[name] ?? 0) + value
  return sums
}

function withoutZeros(counts: Counts): Counts {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0))
}
