/** What routers tell of usage, in their own process or in another one, and whether it is what their metrics say. */

import assert from 'node:assert/strict'
import type { UsageReport } from '../../app/usage/usage-report.ts'
import { hashOfKey } from '../../middleware/key-ring.ts'
import { within } from './deadline.ts'
import { type Metrics, metricValue, parseMetrics } from './metrics.ts'
import { rawRequest } from './raw-client.ts'

export interface UsagePorts {
  readonly apiPort: number
  readonly operationsPort: number
}

/** The key of a tenant; undefined: that of those without a name. */
function keyOf(tenant: string | undefined): string {
  return `sk-${tenant ?? 'nobody'}`.padEnd(50, '0')
}

/** Settings of a router with these tenants, and a key for clients without a name. */
export function withTenants(...names: string[]) {
  return {
    keys: names.map((name) => ({ name, hash: hashOfKey(keyOf(name)) })),
    routerApiKeys: [keyOf(undefined)],
  }
}

const path = '/v1/completions'
const json = { model: 'test-model', prompt: 'hi' }

export function begin({ apiPort: port }: UsagePorts, tenant: string | undefined, more: object = {}) {
  const headers = { authorization: `Bearer ${keyOf(tenant)}` }
  return rawRequest({ port, path, json: { ...json, ...more }, headers })
}

/** One request of this tenant, answered with 200. */
export async function use(router: UsagePorts, tenant: string | undefined, more: object = {}): Promise<void> {
  const { status, text } = await within(10_000, begin(router, tenant, more).text(), 'an answer')
  assert.equal(status, 200, text)
}

export async function usageOf({ operationsPort: port }: UsagePorts, query = ''): Promise<UsageReport> {
  const exchange = rawRequest({ port, path: `/usage${query}` })
  const { status, text } = await within(10_000, exchange.text(), `GET /usage${query}`)
  assert.equal(status, 200, text)
  return JSON.parse(text)
}

async function metricsOf({ operationsPort: port }: UsagePorts): Promise<Metrics> {
  return parseMetrics((await within(10_000, rawRequest({ port, path: '/metrics' }).text(), 'metrics')).text)
}

/** The usage of a router that has found none at its start is what its metrics say, of each tenant and of all. */
export async function assertSameAsMetrics(router: UsagePorts): Promise<void> {
  const metrics = await metricsOf(router)
  const { hours, total } = await usageOf(router)
  const value = (name: string, labels: Record<string, string> = {}) =>
    metricValue(metrics, `vllm_router_${name}`, labels) ?? 0
  for (const [field, name, labels] of [
    ['requests', 'usage_requests_total', {}],
    ['prompt_tokens', 'usage_tokens_total', { kind: 'prompt' }],
    ['cached_tokens', 'usage_tokens_total', { kind: 'cached' }],
    ['completion_tokens', 'usage_tokens_total', { kind: 'completion' }],
    ['unmetered_requests', 'usage_unmetered_requests_total', {}],
    ['worker_seconds', 'usage_worker_seconds_total', {}],
  ] as const) {
    assert.ok(Math.abs(total[field] - value(name, labels)) < 1e-4, field)
    for (const tenant of new Set(hours.map((hour) => hour.tenant))) {
      const own = hours.filter((hour) => hour.tenant === tenant).reduce((sum, hour) => sum + hour[field], 0)
      const counted = value(name, { ...labels, tenant: tenant ?? '' })
      assert.ok(Math.abs(own - counted) < 1e-4, `${field} of ${tenant}: ${own}, not ${counted}`)
    }
  }
  for (const kind of ['prompt', 'completion'])
    assert.equal(value('usage_tokens_total', { kind }), value('tokens_total', { kind }), kind)
}
