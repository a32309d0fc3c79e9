/** The books of usage: by tenant, model and hour, the same as the metrics. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { RequestRecord, Usage } from '../../../app/request/request-record.ts'
import { Accounting } from '../../../app/telemetry/accounting.ts'
import { exposition } from '../../../app/telemetry/exposition.ts'
import { silentLog } from '../../../app/telemetry/log.ts'
import { createMetrics } from '../../../app/telemetry/metrics.ts'
import { UsageBook } from '../../../app/telemetry/usage-book.ts'
import { hourMs, sumOf, type UsageRow, usageFields } from '../../../app/usage/usage-row.ts'
import { AppClock } from '../../support/app-clock.ts'
import { metricValue, parseMetrics } from '../../support/metrics.ts'

function setUp() {
  const clock = new AppClock()
  const metrics = createMetrics()
  const wall = { ms: 10 * hourMs }
  const usage = new UsageBook(metrics, () => wall.ms)
  const accounting = new Accounting({ metrics, log: silentLog(), clock, usage })
  accounting.follow(['a', 'b'])
  const end = (
    change: Partial<Pick<RequestRecord, 'tenant' | 'usage' | 'attempts' | 'model' | 'workerMs'>>,
  ) => {
    const record = accounting.open('POST', '/v1/completions')
    Object.assign(record, { attempts: 1, model: 'm', ...change })
    record.end('completed')
    return record
  }
  /** Looks up values of metrics as they are now. */
  const values = async () => {
    const parsed = parseMetrics((await exposition(metrics)).text)
    return (name: string, labels: Record<string, string> = {}) =>
      metricValue(parsed, `vllm_router_${name}`, labels) ?? 0
  }
  return { usage, accounting, wall, end, values }
}

const names = {
  requests: ['usage_requests_total', {}],
  prompt_tokens: ['usage_tokens_total', { kind: 'prompt' }],
  cached_tokens: ['usage_tokens_total', { kind: 'cached' }],
  completion_tokens: ['usage_tokens_total', { kind: 'completion' }],
  unmetered_requests: ['usage_unmetered_requests_total', {}],
  worker_seconds: ['usage_worker_seconds_total', {}],
} as const

const counts = fc.record({
  prompt: fc.nat(10_000),
  completion: fc.nat(10_000),
  cached: fc.option(fc.nat(10_000), { nil: undefined }),
}) satisfies fc.Arbitrary<Usage>
const requests = fc.record({
  tenant: fc.constantFrom('a', 'b', undefined),
  model: fc.constantFrom('m', 'unknown'),
  usage: fc.option(counts, { nil: undefined }),
  attempts: fc.nat(2),
  workerMs: fc.nat(4000),
  /** Tokens of a stream; before its end the time may pass, and the books may be taken. */
  events: fc.nat(5),
  laterMs: fc.constantFrom(0, 0, 0, hourMs / 3, hourMs),
  taken: fc.boolean(),
})

describe('the books', () => {
  test('add up to the metrics, and to the tokens of all, however the hours and the takings fall', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(requests, { maxLength: 30 }), async (given) => {
        const { usage, accounting, wall, values } = setUp()
        const rows: UsageRow[] = []
        const byHour = new Map<number, number>()
        for (const { events, laterMs, taken, ...fields } of given) {
          // What no worker has answered has no usage and no tokens.
          const answered = fields.attempts > 0
          const record = accounting.open('POST', '/v1/completions')
          Object.assign(record, { ...fields, usage: answered ? fields.usage : undefined })
          if (answered && events > 0) record.tokens(events, 0)
          wall.ms += laterMs
          record.end('client_closed')
          const hour = Math.floor(wall.ms / hourMs)
          if (answered) byHour.set(hour, (byHour.get(hour) ?? 0) + 1)
          if (taken) rows.push(...usage.take())
        }
        rows.push(...usage.take())
        assert.deepEqual(usage.take(), [], 'nothing is given out twice')
        const value = await values()
        for (const field of usageFields) {
          const [name, labels] = names[field]
          for (const tenant of ['a', 'b', '']) {
            const own = sumOf(rows.filter((row) => row.tenant === tenant))[field]
            assert.ok(Math.abs(own - value(name, { ...labels, tenant })) < 1e-6, `${field} of ${tenant}`)
          }
        }
        for (const kind of ['prompt', 'cached', 'completion'])
          assert.equal(value('usage_tokens_total', { kind }), value('tokens_total', { kind }))
        for (const [hour, requests] of byHour)
          assert.equal(sumOf(rows.filter((row) => row.hour === hour)).requests, requests)
      }),
      { numRuns: 50 },
    )
  })

  test('say once that there is something in them', () => {
    const { usage, end } = setUp()
    let told = 0
    usage.onCounted = () => told++
    end({})
    end({ tenant: 'a' })
    end({ attempts: 0 })
    assert.equal(told, 1)
    usage.take()
    end({})
    assert.equal(told, 2)
  })

  test('know only names of the configuration; the series of one that is gone go, and the rows stay', async () => {
    const { usage, accounting, end, values } = setUp()
    for (const tenant of ['a', 'b', 'made up', 'made up too', undefined]) end({ tenant })
    accounting.follow(['b'])
    end({ tenant: 'a' })
    const rows = usage.take()
    const requests = (name: string) => sumOf(rows.filter(({ tenant }) => tenant === name)).requests
    assert.deepEqual(['a', 'b', 'other', ''].map(requests), [1, 1, 3, 1])
    const value = await values()
    const shown = ['a', 'b', 'other', ''].map((tenant) => value('usage_requests_total', { tenant }))
    assert.deepEqual(shown, [0, 1, 3, 1])
    end({ tenant: 'b' })
    accounting.follow(['a', 'b'])
    end({ tenant: 'a' })
    assert.deepEqual(
      usage.take().map(({ tenant, requests: used }) => [tenant, used]),
      [
        ['b', 1],
        ['a', 1],
      ],
    )
  })

  test('leave out what no worker was asked for', () => {
    const { usage, end } = setUp()
    end({ attempts: 0, tenant: 'a' })
    assert.deepEqual(usage.take(), [])
  })
})
