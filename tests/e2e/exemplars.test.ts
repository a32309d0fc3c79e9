/** The way from a bucket of a latency histogram to a trace that fell into it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { chat, startTraced } from '../support/traced-router.ts'

const timeout = 30_000
const traceId = '0af7651916cd43dd8448eb211c80319c'
const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` }
/** As Prometheus 3 asks. */
const accept =
  'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,*/*;q=0.2'

async function scrape(port: number, asked?: string) {
  const fields: Readonly<Record<string, string>> = asked === undefined ? {} : { accept: asked }
  const exchange = rawRequest({ port, path: '/metrics', headers: fields })
  const { text } = await within(5000, exchange.text(), 'the metrics')
  return { text, type: (await exchange.head).header('content-type') ?? '' }
}

test('latency histograms have exemplars for whoever understands OpenMetrics', { timeout }, async (t) => {
  const { ask, operationsPort } = await startTraced(t, { otelSamplingRatio: 0 })
  await ask({ json: { ...chat, stream: true }, headers })
  // Those that are not traced leave none.
  await ask()
  const plain = await scrape(operationsPort)
  const { text, type } = await scrape(operationsPort, accept)
  assert.match(type, /^application\/openmetrics-text; version=1\.0\.0/)
  assert.match(text, /\n# EOF\n$/)
  const lines = text.split('\n').filter((line) => line.includes(' # {'))
  const exemplars = lines.map((line) => /^(\w+)_bucket\{(.*)\} (\d+) # \{(.*)\} (\S+) (\S+)$/.exec(line))
  assert.deepEqual(exemplars.map((found) => found?.[1]).sort(), [
    'vllm_router_generate_duration_seconds',
    'vllm_router_time_to_first_token_seconds',
  ])
  for (const found of exemplars) {
    assert.equal(found?.[4], `trace_id="${traceId}"`)
    const bound = /le="([^"]+)"/.exec(found?.[2] ?? '')?.[1]
    assert.ok(Number(found?.[5]) <= Number(bound), 'it is within its bucket')
    assert.ok(Math.abs(Number(found?.[6]) - Date.now() / 1000) < 60, 'seconds since 1970')
  }
  // A counter's type line has the name without `_total`, its samples have it with.
  assert.match(text, /\n# TYPE vllm_router_requests counter\nvllm_router_requests_total\{/)
  assert.doesNotMatch(text, /_total_total/)
  // What it says is the same, and printing it leaves the other format as it was.
  const again = await scrape(operationsPort)
  assert.match(again.type, /^text\/plain/)
  assert.doesNotMatch(again.text, /# \{/)
  const names = (page: string) => page.split('\n').filter((line) => /^# TYPE/.test(line))
  assert.deepEqual(names(again.text), names(plain.text))
  const series = (page: string) =>
    page
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.replace(/ # \{.*$/, '').replace(/ \S+$/, ''))
  assert.deepEqual(series(text).sort(), series(again.text).sort())
})
