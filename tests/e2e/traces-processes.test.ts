/** Several processes are one service to a tracing system; its variables say who speaks. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventuallyHolds, within } from '../support/deadline.ts'
import { startOtlpReceiver } from '../support/otlp-receiver.ts'
import { answeredBy } from '../support/process-pids.ts'
import { rawRequest } from '../support/raw-client.ts'
import { routerOver } from '../support/router-over.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'
import { chat, chatPath } from '../support/traced-router.ts'

test('each process sends its own spans under one name, the last ones at the end; exemplars are of all', {
  timeout: 60_000,
}, async (t) => {
  const receiver = await startOtlpReceiver(t)
  const worker = await startScriptedWorker(undefined, { t })
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: new URL(receiver.url).origin,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=seven',
    OTEL_SERVICE_NAME: 'edge',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
  }
  const args = ['--processes', '2', '--shutdown-settle-secs', '0']
  const router = await routerOver([worker], { t, env, args })
  let sent = 0
  const ask = async () => {
    const exchange = rawRequest({ port: router.apiPort, path: chatPath, json: chat })
    const { status } = await within(5000, exchange.text(), 'an answer')
    assert.equal(status, 200)
    sent += 1
  }
  await eventuallyHolds(
    async () => {
      await Promise.all(Array.from({ length: 10 }, ask))
      assert.equal(answeredBy(router, chatPath).size, 2)
    },
    { what: 'answers of both processes', withinMs: 10_000 },
  )

  const accept = 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5'
  const metrics = rawRequest({ port: router.operationsPort, path: '/metrics', headers: { accept } })
  const { text } = await within(5000, metrics.text(), 'the metrics')
  const exemplar = /generate_duration_seconds_bucket\{[^}]*\} \d+ # \{trace_id="([\da-f]{32})"\}/.exec(
    text,
  )?.[1]
  assert.ok(exemplar !== undefined, text)

  const { code } = await router.stop()
  assert.equal(code, 0)
  const requests = receiver.spans.filter(({ kind }) => kind === 2)
  assert.equal(requests.length, sent)
  assert.ok(requests.some((span) => span.traceId === exemplar))
  const values = (key: string) => new Set(receiver.spans.map(({ resource }) => resource[key]))
  assert.deepEqual(values('service.name'), new Set(['edge']))
  assert.deepEqual(values('deployment.environment.name'), new Set(['test']))
  assert.equal(values('service.instance.id').size, 2)
  assert.ok(
    receiver.posts.every(({ path, headers }) => path === '/v1/traces' && headers['x-tenant'] === 'seven'),
  )
})
