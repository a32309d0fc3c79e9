/** What `GET /workers` shows of a worker. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { workerState } from '../../../app/workers/describe-worker.ts'
import type { Worker } from '../../../app/workers/worker.ts'
import { readLoad } from '../../../app/workers/worker-metrics.ts'
import type { Breaker } from '../../../policies/resilience/breaker.ts'
import { AppClock } from '../../support/app-clock.ts'
import { requestFor, testPool } from '../../support/pool.ts'

function one() {
  const clock = new AppClock()
  const kit = testPool({ clock })
  return { clock, ...kit, worker: kit.addHealthy('http://a:1/vllm') }
}

/** Milliseconds from now to a time that is shown. */
const fromNow = (time: string | null): number => Date.parse(time ?? '') - Date.now()

const breakerIn = (state: object, remainingMs = 0) =>
  ({ allows: () => true, state, remainingMs }) as unknown as Breaker

describe('a worker as operators see it', () => {
  test('that is well and has done nothing yet', () => {
    const { worker } = one()
    const { recent, ...state } = workerState(worker)
    assert.equal(recent.attempts, 0)
    assert.deepEqual(state, {
      id: worker.id,
      url: 'http://a:1/vllm',
      available: true,
      unavailable_reason: null,
      health: 'healthy',
      health_reason: null,
      last_choice: null,
      busy_until: null,
      in_flight: 0,
      draining: false,
      weight: 1,
      breaker: { state: 'disabled', reason: null, until: null },
      last_error: null,
      models: null,
      models_hidden: null,
      load: null,
      waiting: { requests: 0, quiet_seconds: 0 },
    })
  })

  test('that drains, with a request that waits', () => {
    const { clock, pool, worker } = one()
    pool.acquire(requestFor())
    clock.advance(2540)
    worker.draining = true
    const { available, unavailable_reason, draining, in_flight, waiting } = workerState(worker)
    assert.deepEqual([available, unavailable_reason, draining, in_flight], [false, 'draining', true, 1])
    assert.deepEqual(waiting, { requests: 1, quiet_seconds: 2.5 })
  })

  test('that is down, with why and since when', () => {
    const { worker } = one()
    worker.health = { name: 'unhealthy', reason: 'ECONNREFUSED', cause: 'refused' }
    worker.noteError('probe: ECONNREFUSED')
    const { health, health_reason, unavailable_reason, last_error } = workerState(worker)
    assert.deepEqual([health, health_reason, unavailable_reason], ['unhealthy', 'ECONNREFUSED', 'unhealthy'])
    assert.equal(last_error?.message, 'probe: ECONNREFUSED')
    assert.ok(Math.abs(fromNow(last_error.at)) < 10_000)
  })

  test('that is busy, and until when; with its refusals', () => {
    const { worker } = one()
    worker.refuse(60_000)
    const { available, last_choice, busy_until, recent } = workerState(worker)
    assert.deepEqual([available, last_choice, recent.refusals], [true, 'busy', 1])
    const left = fromNow(busy_until)
    assert.ok(left > 50_000 && left <= 60_000, String(left))
  })

  for (const [state, shown] of [
    [{ name: 'closed' }, { state: 'closed', reason: null, until: false }],
    [
      { name: 'half_open', reason: 'five failures' },
      { state: 'half_open', reason: 'five failures', until: false },
    ],
    [
      { name: 'open', reason: 'five failures', until: 1 },
      { state: 'open', reason: 'five failures', until: true },
    ],
  ] as const) {
    test(`whose breaker is ${state.name}`, () => {
      const { worker } = one()
      worker.breaker = breakerIn(state, 60_000)
      const { reason, until, state: name } = workerState(worker).breaker
      assert.deepEqual({ state: name, reason, until: until !== null }, shown)
      if (until !== null) assert.ok(fromNow(until) > 50_000 && fromNow(until) <= 60_000)
    })
  }

  test('with its models, or with why the router does not know them', () => {
    const { worker } = one()
    worker.listModels([{ id: 'a' }, { id: 'lora' }])
    assert.deepEqual(workerState(worker).models, ['a', 'lora'])
    assert.equal(workerState(worker).models_hidden, null)
    worker.modelsLocked = true
    assert.match(workerState(worker).models_hidden ?? '', /--api-key/)
  })

  test('with the load that it tells, and how old that is', () => {
    const { worker } = one()
    const told = readLoad('\nvllm:num_requests_running 3\nvllm:kv_cache_usage_perc 0.5\n')
    worker.load = { ...told, at: new Date(Date.now() - 5000) }
    const { load } = workerState(worker)
    assert.deepEqual([load?.running, load?.waiting, load?.kv_cache_usage], [3, null, 0.5])
    assert.ok(load!.age_seconds >= 5 && load!.age_seconds < 15, String(load?.age_seconds))
    worker.load = readLoad('\nvllm:num_requests_waiting 2\n')
    const { running, waiting, kv_cache_usage } = workerState(worker).load!
    assert.deepEqual([running, waiting, kv_cache_usage], [null, 2, null])
  })
})

test('the path of a worker’s URL stands before every path, and its id follows from the URL', () => {
  const { pool, worker } = one()
  assert.deepEqual([worker.origin, worker.pathPrefix], ['http://a:1', '/vllm'])
  assert.equal(pool.add('http://b:1').pathPrefix, '')
  const elsewhere: Worker = one().worker
  assert.equal(elsewhere.id, worker.id)
  assert.match(worker.id, /^[0-9a-f]{12}$/)
})
