/** Small promises of the pool and of its workers, each of which something else relies on. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ask } from '../../../app/workers/ask.ts'
import { Ranks } from '../../../app/workers/ranks.ts'
import type { Health } from '../../../app/workers/worker.ts'
import type { Breaker } from '../../../policies/resilience/breaker.ts'
import { leastInflight } from '../../../policies/selection/least-inflight.ts'
import type { SelectionPolicy } from '../../../policies/selection/policy.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { FakeClient } from '../../support/fake-client.ts'
import { requestFor, testPool } from '../../support/pool.ts'

const silent: Health = { name: 'unhealthy', reason: 'no answer', cause: 'silent' }

function one(options: Partial<Parameters<typeof testPool>[0]> = {}) {
  const clock = new AppClock()
  const kit = testPool({ clock, ...options })
  return { clock, ...kit, worker: kit.addHealthy('http://a:1') }
}

test('a worker is found by its id as long as it is in the pool, also when its URL comes again before it goes', () => {
  const { pool, worker } = one()
  assert.equal(pool.withId(worker.id), worker)
  const again = pool.add(worker.url)
  assert.equal(again.id, worker.id)
  pool.remove(worker)
  assert.equal(pool.withId(worker.id), again)
  pool.remove(again)
  assert.equal(pool.withId(worker.id), undefined)
})

describe('a worker that alone has what a request is about', () => {
  test('is claimed, also while it drains, and not when it is down, full or forbidden', () => {
    const { pool, worker } = one({ maxInFlightPerWorker: 1 })
    const lease = pool.claim(worker, requestFor())
    assert.equal(lease?.worker, worker)
    assert.equal(worker.recent.view().attempts, 1)
    assert.equal(pool.claim(worker, requestFor()), undefined, 'it is full')
    lease?.settle('success')
    worker.draining = true
    pool.claim(worker, requestFor())?.settle('success')
    assert.equal(worker.recent.view().attempts, 2)
    worker.draining = false
    worker.health = silent
    assert.equal(pool.claim(worker, requestFor()), undefined)
  })

  test('while it drains is asked only where its breaker lets it', () => {
    const forbidding = {
      allows: () => false,
      state: { name: 'open', until: 0, reason: '' },
    } as unknown as Breaker
    const { pool, worker } = one({ createBreaker: () => forbidding })
    worker.draining = true
    assert.equal(pool.claim(worker, requestFor()), undefined)
  })

  test('can be spoken for by others only where there are others', () => {
    const { pool, worker, addHealthy } = one()
    assert.equal(pool.claim(worker, requestFor())?.pinned, false)
    addHealthy('http://b:1')
    assert.equal(pool.claim(worker, requestFor())?.pinned, true)
  })
})

describe('what the pool tells of a choice', () => {
  test('that probes are not believed, only of workers whose probes fail', () => {
    const { pool, reports, worker, addHealthy } = one()
    const others = [addHealthy('http://b:1'), addHealthy('http://c:1')]
    for (const other of others) other.health = silent
    for (let request = 0; request < 9; request++) pool.acquire(requestFor())?.settle('success')
    assert.equal(reports.selectedInPanic, 6)
    for (const other of others) other.health = { name: 'healthy' }
    worker.health = { name: 'unhealthy', reason: '', cause: 'refused' }
    pool.acquire(requestFor())
    assert.equal(reports.selectedInPanic, 6)
  })

  test('half of the pool is no minority', () => {
    const { pool, worker, addHealthy } = one()
    addHealthy('http://b:1').health = silent
    assert.equal(pool.isInPanic, false)
    worker.health = silent
    assert.equal(pool.isInPanic, true)
  })

  test('attempts and further attempts of the last minute', () => {
    const { pool, worker } = one()
    pool.acquire(requestFor())?.settle('success')
    pool.acquire(requestFor(), {})?.settle('success')
    const { attempts, retries } = worker.recent.view()
    assert.deepEqual([attempts, retries], [2, 1])
  })

  test('to the policy: who is gone, and who has been started anew', () => {
    const forgotten: string[] = []
    const policy: SelectionPolicy = {
      select: (candidates) => candidates[0]!,
      forget: (id) => forgotten.push(id),
    }
    const { pool, worker, addHealthy } = one({ policy })
    const other = addHealthy('http://b:1')
    pool.restarted(worker)
    pool.remove(other)
    assert.deepEqual(forgotten, [worker.id, other.id])
  })

  test('to the booking: the first token once, the end once', () => {
    const told: string[] = []
    const policy: SelectionPolicy = {
      select: (candidates) => candidates[0]!,
      book: () => ({ firstToken: () => told.push('first'), end: () => told.push('end') }),
    }
    const { pool } = one({ policy })
    const lease = pool.acquire(requestFor())
    lease?.showLife()
    lease?.showLife()
    lease?.settle('success')
    lease?.end()
    assert.deepEqual(told, ['first', 'end'])
    pool.acquire(requestFor())?.settle('neutral')
    assert.deepEqual(told, ['first', 'end', 'end'])
  })
})

describe('a worker that refuses work', () => {
  test('has room again with the first sign of life of a request sent after the refusal', () => {
    const { pool, worker, reports } = one()
    const before = pool.acquire(requestFor())
    worker.refuse(1000)
    before?.showLife()
    assert.equal(worker.standBack.known, true, 'that was sent before')
    pool.acquire(requestFor())?.showLife()
    assert.equal(worker.standBack.known, false)
    assert.deepEqual(reports.busy, [true, false])
  })

  test('takes as long to a first token as it takes', () => {
    const { pool, worker, clock } = one()
    const lease = pool.acquire(requestFor(undefined, { stream: true }))
    clock.advance(120)
    lease?.showLife()
    const { p50 } = worker.recent.view().first_token_ms!
    assert.ok(p50 > 60 && p50 < 240, String(p50))
  })
})

test('names that clients make up have one choice among them, names that are known each their own', () => {
  const seen: number[] = []
  const policy: SelectionPolicy = {
    select(candidates) {
      seen.push(candidates.length)
      return candidates[0]!
    },
  }
  const { pool, worker, addHealthy } = one({ policy })
  const other = addHealthy('http://b:1')
  worker.listModels([{ id: 'a' }])
  other.listModels([{ id: 'b' }])
  const third = addHealthy('http://c:1')
  for (const model of ['a', 'b', 'made-up', 'another', undefined]) pool.acquire(requestFor(model))
  assert.deepEqual(seen, [2, 2, 1, 1, 3])
  assert.equal(third.inFlight > 0, true)
})

test('an answer that does not end is given up, and its connection with it', async () => {
  const clock = new AppClock()
  const { worker } = one()
  let cancelled = false
  const endless = {
    read: async () => (cancelled ? undefined : new Uint8Array(1024 * 1024)),
    readAll: async () => new Uint8Array(),
    cancel: () => {
      cancelled = true
    },
    flow: () => {},
    resume: () => {},
  }
  const client = new FakeClient(clock)
  client.send = () => ({
    head: Promise.resolve({ status: 200, headers: [], body: endless }),
    abort: () => {},
  })
  const answer = await ask(worker, '/metrics', { client, clock, timeoutMs: 1000, headers: [] })
  await settled()
  assert.ok(!('failed' in answer) && answer.body.length <= 4 * 1024 * 1024)
  assert.ok(cancelled)
})

describe('a breaker that forbids or tries', () => {
  const state = { name: 'closed' as 'closed' | 'open' | 'half_open', allows: true }
  const told: string[] = []
  const breaker = () =>
    ({
      allows: () => state.allows,
      get state() {
        return { name: state.name, until: 0, reason: '', trialRunning: false }
      },
      enter: () => ({ epoch: 0, trial: state.name === 'half_open', forced: false }),
      leave: (_: unknown, outcome: string) => told.push(outcome),
      yieldTrial: () => told.push('yield'),
      poorTrial: (kind: string) => kind === 'poor',
    }) as unknown as Breaker

  test('is looked at anew with each request: what it said before does not last', () => {
    const { pool, worker, addHealthy } = one({ createBreaker: breaker })
    const other = addHealthy('http://b:1')
    for (let request = 0; request < 4; request++) pool.acquire(requestFor())
    assert.deepEqual([worker.inFlight, other.inFlight], [2, 2])
    state.allows = false
    state.name = 'open'
    worker.breaker?.onMove?.()
    assert.equal(pool.acquire(requestFor()), undefined, 'both are open')
    // Its time is over: nobody tells the pool.
    state.allows = true
    state.name = 'half_open'
    assert.ok(pool.acquire(requestFor()))
    state.name = 'closed'
  })

  test('is tried by a request unlike those that failed, and by one that has failed nowhere else', () => {
    const { pool, worker, addHealthy } = one({ createBreaker: breaker })
    const sound = addHealthy('http://b:1')
    Object.defineProperty(sound, 'breaker', { value: undefined })
    state.name = 'half_open'
    const chosen = (kind: string, again = false) =>
      new Set(
        Array.from(
          { length: 4 },
          () => pool.acquire(requestFor(undefined, { kind }), again ? {} : undefined)?.worker,
        ),
      )
    assert.deepEqual([...chosen('poor')], [sound])
    assert.equal(chosen('other').has(worker), true)
    assert.deepEqual([...chosen('other', true)], [sound])
    state.name = 'closed'
  })

  test('hears of the first content and of the verdict, each once', () => {
    told.length = 0
    const { pool } = one({ createBreaker: breaker })
    const lease = pool.acquire(requestFor())
    lease?.showLife()
    lease?.settle('success')
    lease?.judge('failure', 'too late')
    assert.deepEqual(told, ['yield', 'success'])
  })
})

test('a worker that is removed takes nothing, whoever still holds it', () => {
  const { pool, worker } = one()
  pool.remove(worker)
  assert.equal(worker.unavailable(undefined), 'removed')
  assert.equal(pool.claim(worker, requestFor()), undefined)
})

test('data-parallel ranks are free again when their request is over, however often that is said', () => {
  const policy = leastInflight()
  const ranks = new Ranks(2, leastInflight)
  const { pool } = one({ policy, ranks })
  const [first, second] = [pool.acquire(requestFor()), pool.acquire(requestFor())]
  assert.deepEqual([first?.rank, second?.rank].toSorted(), [0, 1])
  first?.settle('success')
  first?.end()
  first?.settle('neutral')
  const next = [pool.acquire(requestFor()), pool.acquire(requestFor()), pool.acquire(requestFor())]
  assert.deepEqual(
    next.map((lease) => lease?.rank).toSorted(),
    [first!.rank, first!.rank, second!.rank].toSorted(),
  )
})
