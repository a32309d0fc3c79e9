import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { createMetrics } from '../../app/telemetry/metrics.ts'
import { eventually, within } from '../support/deadline.ts'
import { rawRequest } from '../support/raw-client.ts'
import { startRouter } from '../support/router-process.ts'
import { startScriptedWorker } from '../support/scripted-worker.ts'

const page = await readFile(new URL('../../docs/observability.md', import.meta.url), 'utf8')

interface Described {
  readonly name: string
  readonly type: string
  readonly labelNames?: readonly string[]
}

describe('docs/observability.md', () => {
  test('has every metric with its kind and its labels, and no other', async () => {
    const { registry } = createMetrics()
    const described = (await registry.getMetricsAsJSON()) as unknown as Described[]
    const made = described.map(({ name, type }) => {
      const metric = registry.getSingleMetric(name) as unknown as { labelNames?: readonly string[] }
      const labels = (metric.labelNames ?? []).join(', ')
      return `${name.replace(/^vllm_router_/, '')} | ${type} | ${labels}`.trim()
    })
    const rows = page.matchAll(/^\| `(\w+)` \| (counter|gauge|histogram) \| ([\w, ]*) ?\|/gm)
    const written = [...rows].map(([, name, type, labels]) => `${name} | ${type} | ${labels?.trim()}`.trim())
    assert.deepEqual(written.sort(), made.sort())
  })

  test('names every field and message of a life: start, a stream, a lost worker, a signal', {
    timeout: 60_000,
  }, async (t) => {
    const worker = await startScriptedWorker(undefined, { t })
    const args = ['--worker-urls', worker.url, '--cb-failure-threshold', '1', '--retry-max-retries', '1']
    const router = await startRouter({ args: [...args, '--shutdown-settle-secs', '0'], t })
    const available = async () => (await router.metric('vllm_router_active_workers')) === 1
    await eventually(available, { what: 'the worker is available' })
    const json = {
      model: 'test-model',
      messages: [{ role: 'user', content: 'hello' }],
      stream: true,
      stream_options: { include_usage: true },
    }
    const ask = () => rawRequest({ port: router.apiPort, path: '/v1/chat/completions', json }).text()
    assert.equal((await within(5000, ask(), 'a stream')).status, 200)
    await worker.crash()
    assert.equal((await within(5000, ask(), 'an error')).status, 502)
    const unhealthy = () => router.logs().some(({ msg }) => msg === 'worker unhealthy')
    await eventually(unhealthy, { what: 'the probe notices' })
    await router.stop()

    const lines = router.logs()
    const request = lines.find(({ msg }) => msg === 'request')
    for (const field of ['first_token_ms', 'prompt_tokens', 'completion_tokens', 'worker_id'])
      assert.ok(request !== undefined && field in request, `a stream with usage leaves ${field}`)
    for (const message of [
      'listening',
      'worker added',
      'attempt failed',
      'breaker open',
      'draining',
      'stopped',
    ])
      assert.ok(
        lines.some(({ msg }) => msg === message),
        message,
      )
    for (const line of lines) {
      for (const field of Object.keys(line)) assert.ok(page.includes(`\`${field}\``), `field ${field}`)
      assert.ok(page.includes(`\`${line.msg}\``), `message ${line.msg}`)
    }
  })
})
