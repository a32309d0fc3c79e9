/** Who may get a request, and the books on who has one. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ExchangeOptions } from '../../../app/relay/exchange.ts'
import { relay } from '../../../app/relay/relay.ts'
import { RequestKind } from '../../../app/relay/request-kind.ts'
import { RequestRecord } from '../../../app/request/request-record.ts'
import type { Lease } from '../../../app/workers/lease.ts'
import type { Pool } from '../../../app/workers/pool.ts'
import type { Worker } from '../../../app/workers/worker.ts'
import { RouterError } from '../../../http/errors.ts'
import { Breaker } from '../../../policies/resilience/breaker.ts'
import { RetryBudget } from '../../../policies/resilience/retry-budget.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { requestFor, testPool } from '../../support/pool.ts'

function setUp(options: { breakers?: boolean; maxInFlightPerWorker?: number } = {}) {
  const { breakers = false, ...rest } = options
  const clock = new AppClock()
  const createBreaker = () =>
    new Breaker({
      failureThreshold: 1,
      successThreshold: 1,
      openMs: 5000,
      failureRate: 1,
      minimumRequests: 100,
      windowMs: 30_000,
      now: () => clock.now(),
      random: () => 0.5,
    })
  const all = testPool({ clock, ...rest, ...(breakers ? { createBreaker } : {}) })
  return {
    ...all,
    clock,
    workers: (count: number) =>
      Array.from({ length: count }, (_, at) => all.addHealthy(`http://w${at}:8000`)),
  }
}

function acquire(pool: Pool, model?: string, tried?: ReadonlySet<Worker>): Lease {
  const lease = pool.acquire(requestFor(model), tried === undefined ? undefined : { tried })
  assert.ok(lease !== undefined)
  return lease
}

describe('a lease', () => {
  test('counts from the moment it is taken until it is settled', () => {
    const { pool, workers, reports } = setUp()
    const [worker] = workers(1)
    const first = acquire(pool)
    const second = acquire(pool)
    assert.equal(worker?.inFlight, 2)
    first.settle('success')
    assert.equal(worker?.inFlight, 1)
    second.settle('neutral')
    assert.equal(worker?.inFlight, 0)
    assert.deepEqual([reports.startedInAll, reports.endedInAll], [2, 2])
  })

  test('is settled by the first call, whatever comes after it', () => {
    const { pool, workers, reports } = setUp()
    const [worker] = workers(1) as [Worker]
    const lease = acquire(pool)
    lease.settle('neutral')
    lease.settle('failure', 'too late')
    lease.end()
    lease.judge('success')
    assert.equal(worker.inFlight, 0)
    assert.deepEqual(reports.outcomes.get(worker), ['neutral'])
    assert.equal(worker.lastError, undefined)
    assert.equal(reports.endedInAll, 1)
  })

  test('may end first and be judged later, or the other way round', () => {
    for (const order of [
      ['end', 'judge'],
      ['judge', 'end'],
      ['end', 'end', 'judge', 'judge', 'end'],
      ['judge', 'settle'],
      ['end', 'settle', 'judge'],
    ]) {
      const { pool, workers, reports } = setUp()
      const [worker] = workers(1) as [Worker]
      const lease = acquire(pool)
      for (const call of order) {
        if (call === 'end') lease.end()
        else lease[call as 'judge' | 'settle']('success')
      }
      assert.equal(worker.inFlight, 0, `${order}`)
      assert.deepEqual(reports.outcomes.get(worker), ['success'], `${order}`)
      assert.equal(reports.endedInAll, 1, `${order}`)
    }
  })

  test('leaves a note on the worker when it failed', () => {
    const { pool, workers } = setUp()
    const [worker] = workers(1)
    acquire(pool).settle('failure', 'status 500')
    assert.equal(worker?.lastError?.message, 'status 500')
  })

  test('tells the breaker, and frees its trial even when the client left', async () => {
    const { pool, workers, clock } = setUp({ breakers: true })
    workers(1)
    acquire(pool).settle('failure')
    await settled()
    const forced = acquire(pool)
    assert.ok(forced.isForced && !forced.isTrial, 'the last one there is')
    forced.settle('failure')
    clock.advance(5000)
    const trial = acquire(pool)
    assert.ok(trial.isTrial)
    assert.ok(acquire(pool).isForced, 'one trial at a time')
    trial.settle('neutral')
    const next = acquire(pool)
    assert.ok(next.isTrial)
    next.settle('success')
    await settled()
    assert.ok(!acquire(pool).isForced && !acquire(pool).isTrial)
  })

  test('of a removed worker runs to its end', () => {
    const { pool, workers, reports } = setUp()
    const [gone, stays] = workers(2) as [Worker, Worker]
    const lease = acquire(pool)
    assert.equal(lease.worker, gone)
    pool.remove(gone)
    for (let i = 0; i < 5; i++) assert.equal(acquire(pool).worker, stays)
    assert.equal(gone.inFlight, 1)
    lease.settle('success')
    assert.equal(gone.inFlight, 0)
    assert.deepEqual(reports.outcomes.get(gone), ['success'])
  })
})

describe('a request', () => {
  test('goes to nobody whom it has tried', () => {
    const { pool, workers } = setUp()
    const tried = new Set<Worker>()
    for (const _ of workers(3)) {
      const { worker } = acquire(pool, undefined, tried)
      assert.ok(!tried.has(worker))
      tried.add(worker)
    }
    assert.equal(pool.acquire(requestFor(), { tried }), undefined)
  })

  test('goes to workers that serve its model, or that have not said what they serve', () => {
    const { pool, workers } = setUp()
    const [a, b, silent] = workers(3) as [Worker, Worker, Worker]
    a.listModels([{ id: 'a' }])
    b.listModels([{ id: 'b' }, { id: 'lora-b' }])
    const reached = (model?: string) => new Set(Array.from({ length: 12 }, () => acquire(pool, model).worker))
    assert.deepEqual(reached('a'), new Set([a, silent]))
    assert.deepEqual(reached('lora-b'), new Set([b, silent]))
    assert.deepEqual(reached('other'), new Set([silent]))
    assert.deepEqual(reached(undefined), new Set([a, b, silent]))
  })

  test('goes to a worker that asked for a pause only when there is nobody else', () => {
    const { pool, workers, clock } = setUp()
    const [busy, ready] = workers(2) as [Worker, Worker]
    busy.refuse(10_000)
    for (let i = 0; i < 4; i++) assert.equal(acquire(pool).worker, ready)
    assert.equal(acquire(pool, undefined, new Set([ready])).worker, busy)
    clock.advance(9999)
    assert.equal(busy.lastChoice, 'busy')
    clock.advance(1)
    assert.equal(busy.lastChoice, undefined)
    assert.deepEqual(new Set([acquire(pool).worker, acquire(pool).worker]), new Set([busy, ready]))
  })

  test('that asks for a shorter pause does not shorten a longer one', () => {
    const { workers, clock } = setUp()
    const [worker] = workers(1) as [Worker]
    worker.refuse(10_000)
    worker.refuse(1000)
    clock.advance(9999)
    assert.equal(worker.lastChoice, 'busy')
  })

  test('goes to no worker that has as many as it may', () => {
    const { pool, workers } = setUp({ maxInFlightPerWorker: 2 })
    workers(2)
    const leases = Array.from({ length: 4 }, () => acquire(pool))
    assert.equal(pool.acquire(requestFor()), undefined)
    assert.deepEqual(pool.refusals(undefined), new Map([['full', 2]]))
    leases[0]?.settle('success')
    assert.equal(acquire(pool).worker, leases[0]?.worker)
  })

  test('goes to a drained worker again when it serves again', () => {
    const { pool, workers } = setUp()
    const [worker] = workers(1) as [Worker]
    worker.draining = true
    assert.equal(pool.acquire(requestFor()), undefined)
    worker.draining = false
    acquire(pool)
  })
})

test('a model is served for certain, perhaps, or certainly not', () => {
  const { pool, workers } = setUp()
  const known = () => [pool.serves('a'), pool.mayServe('a')]
  assert.deepEqual(known(), [false, true], 'nobody is registered')
  const [one, other] = workers(2) as [Worker, Worker]
  assert.deepEqual(known(), [false, true], 'nobody has said')
  one.listModels([{ id: 'b' }])
  assert.deepEqual(known(), [false, true], 'one has not said')
  other.listModels([])
  assert.deepEqual(known(), [false, false])
  other.listModels([{ id: 'a' }])
  other.health = { name: 'unhealthy', reason: 'x', cause: 'refused' }
  assert.deepEqual(known(), [true, true], 'its worker is down, not unknown')
  pool.remove(other)
  assert.deepEqual(known(), [false, false])
})

describe('when nobody can take a request', () => {
  /** The router's answer to a request that finds no worker. */
  async function refused(pool: Pool, clock: AppClock, model?: string): Promise<RouterError> {
    const record = new RequestRecord('POST', '/v1/chat/completions', clock.now())
    const unused = () => assert.fail('no attempt is made')
    const budget = new RetryBudget({ ratio: 0.2, minimumPerSecond: 10, now: () => clock.now() })
    const events = { retried: unused, retriesExhausted: unused, attemptFailed: unused }
    const call = { method: 'POST', path: '/v1/chat/completions', headers: [], body: undefined, record }
    const kind = new RequestKind({ ...call, model, stream: false, body: undefined })
    try {
      await relay(
        { ...call, kind, stream: false, dialect: 'openai', endMarker: true, choices: 1, longHold: undefined },
        {
          pool,
          exchange: { client: { send: unused, close: unused }, clock } as unknown as ExchangeOptions,
          retry: {
            maxAttempts: 3,
            initialBackoffMs: 50,
            maxBackoffMs: 2000,
            multiplier: 2,
            jitter: 0,
            random: () => 0,
          },
          budget,
          probeSoon: unused,
          isStarting: () => false,
          events,
        },
      )
    } catch (error) {
      assert.ok(error instanceof RouterError)
      return error
    }
    return assert.fail('the request was answered')
  }

  test('the error counts the reasons and names no worker', async () => {
    const { pool, workers, clock } = setUp({ breakers: true, maxInFlightPerWorker: 1 })
    const all = workers(8) as [Worker, Worker, Worker, Worker, Worker, Worker, Worker, Worker]
    const [starting, unhealthy, sick, draining, full, other, , ill] = all
    starting.health = { name: 'starting' }
    unhealthy.health = { name: 'unhealthy', reason: 'ECONNREFUSED', cause: 'refused' }
    for (const one of [sick, ill])
      acquire(pool, undefined, new Set(all.filter((worker) => worker !== one))).settle('failure')
    await settled()
    draining.draining = true
    acquire(pool, undefined, new Set(all.filter((worker) => worker !== full)))
    other.listModels([{ id: 'b' }])
    pool.remove(all[6])
    const { code, status, message } = await refused(pool, clock, 'a')
    assert.deepEqual([code, status], ['no_available_worker', 503])
    assert.equal(
      message,
      'no worker can take the request now: 1 starting, 1 unhealthy, 2 breaker open, 1 draining, 1 full, 1 other model',
    )
    assert.ok(!all.some(({ url, id }) => message.includes(url) || message.includes(id)))
  })

  test('the error says so when there is none at all', async () => {
    const { pool, clock } = setUp()
    const { message } = await refused(pool, clock, 'a')
    assert.equal(message, 'no worker can take the request now: none is registered')
  })

  test('the error asks to come back when the first breaker lets a trial through', async () => {
    const { pool, workers, clock } = setUp({ breakers: true })
    workers(2)
    acquire(pool).settle('failure')
    await settled()
    clock.advance(2000)
    acquire(pool).settle('failure')
    await settled()
    clock.advance(500)
    assert.equal((await refused(pool, clock)).retryAfter, 2.5)
  })

  test('the error is another one for a model that no worker has ever served', async () => {
    const { pool, workers, clock } = setUp()
    const [worker] = workers(1) as [Worker]
    worker.listModels([{ id: 'a' }])
    worker.draining = true
    assert.equal((await refused(pool, clock, 'a')).code, 'no_available_worker')
    const { code, status, param } = await refused(pool, clock, 'b')
    assert.deepEqual([code, status, param], ['model_not_found', 404, 'model'])
  })
})
