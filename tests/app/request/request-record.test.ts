/** The books on one client request: closed exactly once, and what they come to in the metrics. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RequestRecord } from '../../../app/request/request-record.ts'
import { Accounting } from '../../../app/telemetry/accounting.ts'
import { exposition } from '../../../app/telemetry/exposition.ts'
import { silentLog } from '../../../app/telemetry/log.ts'
import { createMetrics } from '../../../app/telemetry/metrics.ts'
import { AppClock } from '../../support/app-clock.ts'
import { heapInUse } from '../../support/heap-in-use.ts'
import { type Metrics, metricValue, parseMetrics, samplesOf } from '../../support/metrics.ts'

describe('a record', () => {
  test('ends once, for the first reason', () => {
    const record = new RequestRecord('POST', '/v1/completions', 0)
    let ends = 0
    record.onEnd(() => ends++)
    record.end('worker_lost')
    record.end('completed')
    assert.equal(record.endReason, 'worker_lost')
    assert.equal(ends, 1)
  })

  test('keeps the beginning of its path only, whatever length a client gives it', () => {
    const pathOf = (index: number) => `/v1/${Buffer.alloc(60_000, `${index}-`).toString('latin1')}`
    assert.equal(new RequestRecord('POST', '/v1/completions', 0).path, '/v1/completions')
    assert.equal(new RequestRecord('POST', pathOf(7), 0).path, pathOf(7).slice(0, 256))
    const before = heapInUse()
    const records = Array.from({ length: 1000 }, (_, index) => new RequestRecord('POST', pathOf(index), 0))
    const bytes = heapInUse() - before
    assert.ok(records.length === 1000 && bytes < 10e6, `${bytes} bytes`)
  })

  test('tells every listener, in order, and at once those who come too late', () => {
    const record = new RequestRecord('POST', '/', 0)
    const told: string[] = []
    record.onEnd(() => told.push('first'))
    record.onEnd(() => {
      told.push(`second sees ${record.endReason}`)
      record.onEnd(() => told.push('from within'))
    })
    record.end('completed')
    record.onEnd(() => told.push('late'))
    assert.deepEqual(told, ['first', 'second sees completed', 'from within', 'late'])
  })

  test('measures the time between tokens, and none before the first', () => {
    const gaps: number[] = []
    const record = new RequestRecord('POST', '/', 1000, (seconds) => gaps.push(seconds))
    record.tokens(1, 1500)
    assert.equal(record.firstTokenAt, 1500)
    assert.deepEqual(gaps, [])
    record.tokens(1, 1520)
    record.tokens(1, 1620)
    assert.deepEqual(gaps, [0.02, 0.1])
    assert.equal(record.firstTokenAt, 1500)
    assert.equal(record.tokenEvents, 3)
  })

  test('counts tokens that come together, with no time between them', () => {
    const gaps: number[] = []
    const record = new RequestRecord('POST', '/', 0, (seconds) => gaps.push(seconds))
    record.tokens(3, 100)
    record.tokens(2, 150)
    assert.deepEqual(gaps, [0, 0, 0.05, 0])
    assert.equal(record.tokenEvents, 5)
  })

  test('needs nobody who wants to know of the time between tokens', () => {
    const record = new RequestRecord('POST', '/', 0)
    record.tokens(2, 1)
    record.tokens(2, 2)
    assert.equal(record.tokenEvents, 4)
  })
})

describe('the books', () => {
  function setUp() {
    const clock = new AppClock()
    const metrics = createMetrics()
    const accounting = new Accounting({ metrics, log: silentLog(), clock })
    return {
      clock,
      accounting,
      read: async (): Promise<Metrics> => parseMetrics((await exposition(metrics)).text),
      /** A request to the chat route that has reached a worker. */
      open() {
        const record = accounting.open('POST', '/v1/chat/completions')
        Object.assign(record, { route: '/v1/chat/completions', model: 'm', attempts: 1, status: 200 })
        return record
      },
    }
  }

  const value = (metrics: Metrics, name: string, labels = {}) =>
    metricValue(metrics, `vllm_router_${name}`, labels) ?? 0

  test('on a complete answer hold its duration and its tokens, and no error', async () => {
    const { clock, open, read } = setUp()
    const record = open()
    record.usage = { prompt: 10, completion: 4, cached: 8 }
    clock.advance(2000)
    record.end('completed')
    const metrics = await read()
    const route = '/v1/chat/completions'
    assert.equal(value(metrics, 'requests_total', { route, status: 200 }), 1)
    assert.equal(value(metrics, 'generate_duration_seconds_sum', { route }), 2)
    assert.equal(value(metrics, 'tokens_total', { model: 'm', kind: 'prompt' }), 10)
    assert.equal(value(metrics, 'tokens_total', { model: 'm', kind: 'completion' }), 4)
    assert.equal(value(metrics, 'tokens_total', { model: 'm', kind: 'cached' }), 8)
    assert.deepEqual(samplesOf(metrics, 'vllm_router_request_errors_total'), [])
    assert.deepEqual(samplesOf(metrics, 'vllm_router_streams_ended_total'), [])
    assert.equal(value(metrics, 'time_to_first_token_seconds_count'), 0)
  })

  test('count the events of a stream whose usage nobody asked for, and say that it is an estimate', async () => {
    const { open, read } = setUp()
    const record = open()
    record.tokens(3, 100)
    record.tokens(2, 200)
    record.end('completed')
    const metrics = await read()
    assert.equal(value(metrics, 'tokens_total', { model: 'm', kind: 'completion' }), 5)
    assert.equal(value(metrics, 'estimated_tokens_total', { model: 'm' }), 5)
    assert.deepEqual(samplesOf(metrics, 'vllm_router_tokens_total', { kind: 'prompt' }), [])
  })

  test('measure by tokens, of which an event may hold several', async () => {
    const { open, read } = setUp()
    for (const completion of [10, 4, 1_000_000]) {
      const record = open()
      for (let event = 0; event < 4; event++) record.tokens(1, 100 * event)
      record.usage = { prompt: 1, completion, cached: undefined }
      record.end('completed')
    }
    const metrics = await read()
    // The 3 gaps of 4 events each, and 6, none and no more than 400 tokens that came together with others.
    assert.equal(value(metrics, 'inter_token_latency_seconds_count', { model: 'm' }), 9 + 6 + 400)
    assert.ok(Math.abs(value(metrics, 'inter_token_latency_seconds_sum', { model: 'm' }) - 0.9) < 1e-9)
    assert.equal(value(metrics, 'estimated_tokens_total'), 0)
  })

  test('say nothing of cached tokens where the worker does not', async () => {
    const { open, read } = setUp()
    const record = open()
    record.usage = { prompt: 10, completion: 4, cached: undefined }
    record.end('completed')
    assert.deepEqual(samplesOf(await read(), 'vllm_router_tokens_total', { kind: 'cached' }), [])
  })

  test('on a stream hold its first token, the gaps between tokens, and what ended it', async () => {
    const { clock, open, read } = setUp()
    for (const reason of ['completed', 'worker_lost', 'client_closed', 'worker_error'] as const) {
      const record = open()
      record.eventStream = true
      clock.advance(250)
      record.tokens(1, clock.now())
      clock.advance(50)
      record.tokens(1, clock.now())
      record.end(reason)
    }
    const metrics = await read()
    assert.equal(value(metrics, 'time_to_first_token_seconds_count', { model: 'm' }), 4)
    assert.equal(value(metrics, 'time_to_first_token_seconds_sum', { model: 'm' }), 1)
    assert.equal(value(metrics, 'inter_token_latency_seconds_count', { model: 'm' }), 4)
    assert.ok(Math.abs(value(metrics, 'inter_token_latency_seconds_sum', { model: 'm' }) - 0.2) < 1e-9)
    for (const reason of ['completed', 'worker_lost', 'client_closed', 'worker_error']) {
      assert.equal(value(metrics, 'streams_ended_total', { reason }), 1, reason)
    }
    const errors = samplesOf(metrics, 'vllm_router_request_errors_total').map(
      ({ labels }) => labels.error_type,
    )
    assert.deepEqual(
      errors.sort(),
      ['client_closed', 'worker_lost'],
      'an error of the worker is not the router’s',
    )
  })

  test('on a refused request hold its error and no duration', async () => {
    const { accounting, read } = setUp()
    const record = accounting.open('POST', '/anything/a/client/likes')
    record.status = 429
    record.errorCode = 'queue_full'
    record.end('queue_full')
    const metrics = await read()
    assert.equal(value(metrics, 'requests_total', { route: 'other', status: 429 }), 1)
    assert.equal(value(metrics, 'request_errors_total', { route: 'other', error_type: 'queue_full' }), 1)
    assert.equal(value(metrics, 'generate_duration_seconds_count'), 0)
    assert.deepEqual(samplesOf(metrics, 'vllm_router_streams_ended_total'), [])
  })

  test('count an error once, under its code, however it is known', async () => {
    const { open, read } = setUp()
    const answered = open()
    answered.status = 502
    answered.errorCode = 'worker_unreachable'
    answered.end('completed')
    const logged = open()
    logged.end('client_closed')
    const metrics = await read()
    assert.equal(value(metrics, 'request_errors_total', { error_type: 'worker_unreachable' }), 1)
    assert.equal(value(metrics, 'request_errors_total', { error_type: 'client_closed' }), 1)
    assert.equal(value(metrics, 'request_errors_total'), 2)
  })

  test('count each request once, whoever ends it how often', async () => {
    const { open, read } = setUp()
    const record = open()
    record.end('completed')
    record.end('worker_lost')
    record.end('completed')
    const metrics = await read()
    assert.equal(value(metrics, 'requests_total'), 1)
    assert.equal(value(metrics, 'request_errors_total'), 0)
  })

  test('know what is open, and tell when nothing is', () => {
    const { accounting, open } = setUp()
    let idle = 0
    accounting.onIdle(() => idle++)
    assert.equal(idle, 1, 'nothing is open')
    const [one, other] = [open(), open()]
    accounting.onIdle(() => idle++)
    assert.equal(accounting.openCount, 2)
    one.end('completed')
    assert.equal(idle, 1)
    other.end('client_closed')
    assert.equal(idle, 2)
    assert.equal(accounting.openCount, 0)
    open().end('completed')
    assert.equal(idle, 2, 'told once')
  })

  test('can end everything that is open, each request in its own way', () => {
    const { accounting, open } = setUp()
    const [streaming, waiting, done] = [open(), open(), open()]
    const told: string[] = []
    streaming.stop.waiting = (reason) => {
      told.push(reason)
      streaming.end(reason)
    }
    done.end('completed')
    accounting.stopAll('draining')
    assert.deepEqual(told, ['draining'])
    assert.equal(waiting.stop.reason, 'draining')
    assert.equal(done.stop.reason, undefined)
    assert.equal(accounting.openCount, 1, 'who waits for nothing ends by itself')
  })
})
