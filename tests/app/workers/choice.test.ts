/** Who comes into question for a request, who was passed over and why, and when what was found is looked for anew. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Health, Worker } from '../../../app/workers/worker.ts'
import type { Breaker } from '../../../policies/resilience/breaker.ts'
import { leastInflight } from '../../../policies/selection/least-inflight.ts'
import type { SelectionPolicy, SelectionRequest } from '../../../policies/selection/policy.ts'
import { AppClock } from '../../support/app-clock.ts'
import { requestFor, testPool } from '../../support/pool.ts'

const refused: Health = { name: 'unhealthy', reason: 'ECONNREFUSED', cause: 'refused' }

function fleet(size: number, options: Partial<Parameters<typeof testPool>[0]> = {}) {
  const clock = new AppClock()
  const kit = testPool({ clock, ...options })
  const workers = Array.from({ length: size }, (_, at) => kit.addHealthy(`http://w${at}:1`))
  /** The workers that so many requests reach, one after the other. */
  const reached = (requests = 12, request = requestFor()): Set<Worker> => {
    const seen = new Set<Worker>()
    for (let at = 0; at < requests; at++) {
      const lease = kit.pool.acquire(request)
      if (lease !== undefined) seen.add(lease.worker)
      lease?.settle('success')
    }
    return seen
  }
  return { clock, ...kit, workers: workers as [Worker, Worker, Worker], reached }
}

/** A breaker in this state, whatever it is told. */
function fixedBreaker(name: 'closed' | 'open' | 'half_open', until = 0) {
  return {
    allows: () => name !== 'open',
    state: { name, until, reason: 'five failures', trialRunning: false },
    enter: () => ({ epoch: 0, trial: false, forced: false }),
    leave: () => {},
    yieldTrial: () => {},
    poorTrial: () => true,
  } as unknown as Breaker
}

describe('a choice tells how many could be chosen, and why the others could not', () => {
  test('on the first attempt', () => {
    const { pool, workers } = fleet(3)
    workers[0].draining = true
    workers[1].refuse(1000)
    const lease = pool.acquire(requestFor())
    assert.equal(lease?.worker, workers[2])
    assert.equal(lease?.candidates, 1)
    assert.deepEqual(lease?.passedOver, [
      { worker: 'http://w0:1', reason: 'draining' },
      { worker: 'http://w1:1', reason: 'busy' },
    ])
  })

  test('on a further attempt', () => {
    const { pool, workers } = fleet(3)
    workers[1].breaker = fixedBreaker('half_open')
    const lease = pool.acquire(requestFor(), { tried: new Set([workers[0]]) })
    assert.equal(lease?.worker, workers[2])
    assert.deepEqual(lease?.passedOver, [
      { worker: 'http://w0:1', reason: 'tried' },
      { worker: 'http://w1:1', reason: 'half_open' },
    ])
  })

  test('of busy workers only of those that were not asked', () => {
    const { pool, workers } = fleet(2)
    workers[0].refuse(1000)
    workers[1].refuse(2000)
    const lease = pool.acquire(requestFor())
    assert.equal(lease?.worker, workers[0], 'the one that has room first')
    assert.deepEqual(lease?.passedOver, [{ worker: 'http://w1:1', reason: 'busy' }])
  })
})

test('a further attempt that wants room is not sent to a busy worker', () => {
  const { pool, workers } = fleet(2)
  workers[1].refuse(1000)
  const tried = new Set([workers[0]])
  assert.equal(pool.acquire(requestFor(), { tried, withRoom: true }), undefined)
  assert.equal(pool.acquire(requestFor(), { tried })?.worker, workers[1])
})

describe('the only worker whose breaker forbids requests', () => {
  test('is asked, once per request', () => {
    const { pool, workers } = fleet(2)
    workers[0].breaker = fixedBreaker('open')
    workers[1].health = refused
    assert.equal(pool.acquire(requestFor())?.worker, workers[0])
    assert.equal(pool.acquire(requestFor(), { tried: new Set() }), undefined)
    assert.equal(pool.availableCount, 1)
  })

  test('is one too many when there is another', () => {
    const { pool, workers } = fleet(2)
    for (const worker of workers) worker.breaker = fixedBreaker('open')
    assert.equal(pool.acquire(requestFor()), undefined)
    assert.equal(pool.availableCount, 0)
    workers[0].breaker = fixedBreaker('closed')
    assert.equal(pool.availableCount, 1)
  })
})

describe('a worker that gives no sign of life', () => {
  /** Both usually take 50 ms; the first has had a request for a second, the other has answered one since. */
  function quiet() {
    const all = fleet(2)
    const serve = () => {
      const lease = all.pool.acquire(requestFor(undefined, { stream: true }))
      all.clock.advance(50)
      lease?.showLife()
      lease?.settle('success')
    }
    for (let at = 0; at < 20; at++) serve()
    const waiting = all.pool.acquire(requestFor(undefined, { stream: true }))!
    assert.equal(waiting.worker, all.workers[0])
    serve()
    all.clock.advance(1000)
    return { ...all, waiting, serve }
  }

  test('gets no other request while others answer, although nobody has told the pool', () => {
    const { workers, reached } = quiet()
    assert.deepEqual(reached(), new Set([workers[1]]))
    assert.equal(workers[0].lastChoice, 'no_sign_of_life')
  })

  test('is passed over with that reason, and asked when it is the only one', () => {
    const { pool, workers } = quiet()
    pool.acquire(requestFor())
    const lease = pool.acquire(requestFor())
    assert.deepEqual(lease?.passedOver, [{ worker: 'http://w0:1', reason: 'no_sign_of_life' }])
    workers[1].draining = true
    assert.equal(pool.acquire(requestFor())?.worker, workers[0])
  })

  test('is told as the last choice before any request finds it out, and is none when it answers', () => {
    const { workers, waiting, reached } = quiet()
    assert.equal(workers[0].lastChoice, 'no_sign_of_life')
    assert.equal(workers[0].quietMs, 1050)
    waiting.showLife()
    assert.equal(workers[0].lastChoice, undefined)
    assert.deepEqual(reached(), new Set(workers))
  })
})

describe('a request that is longer than some workers’ context', () => {
  const long = { ...requestFor('m'), bytes: 8 * 5000 }

  function contexts(...tokens: (number | undefined)[]) {
    const all = fleet(tokens.length)
    for (const [at, max] of tokens.entries())
      all.workers[at]?.listModels([{ id: 'm', ...(max === undefined ? {} : { max_model_len: max }) }])
    return all
  }

  test('goes to those that take it', () => {
    const { workers, reached } = contexts(4096, 8192, undefined)
    assert.deepEqual(reached(12, long), new Set(workers.slice(1)))
    assert.deepEqual(reached(12, { ...long, bytes: 8 * 4096 }), new Set(workers), 'it may just fit')
    assert.deepEqual(reached(12, requestFor('m')), new Set(workers), 'nobody has told how long it is')
  })

  test('goes to everybody where it fits nowhere, or may be mostly pictures', () => {
    const { workers, reached } = contexts(1024, 2048)
    assert.deepEqual(reached(12, long), new Set(workers))
    assert.deepEqual(reached(12, { ...long, bytes: 8 * 1500 }), new Set([workers[1]]))
    assert.deepEqual(reached(12, { ...long, bytes: 8 * 1500, hasMedia: true }), new Set(workers))
  })

  test('goes to everybody where the model is nobody’s', () => {
    const { workers, reached } = contexts(1024, 2048)
    assert.deepEqual(reached(12, { ...long, model: undefined }), new Set(workers))
  })
})

describe('what a policy is told of a request', () => {
  function asked(reads?: SelectionPolicy['reads']) {
    const seen: SelectionRequest[] = []
    const policy: SelectionPolicy = {
      ...(reads === undefined ? {} : { reads }),
      select(candidates, request) {
        seen.push(request)
        return candidates[0]!
      },
    }
    return { seen, ...fleet(2, { policy }) }
  }

  test('is the model where it is certain that a worker has it, and whether it is a further attempt', () => {
    const { seen, pool, workers } = asked()
    workers[0].listModels([{ id: 'a' }])
    for (const model of ['a', 'made-up', undefined]) pool.acquire(requestFor(model))
    pool.acquire(requestFor('a'), {})
    assert.deepEqual(seen, [
      { model: 'a', again: false },
      { model: undefined, again: false },
      { model: undefined, again: false },
      { model: 'a', again: true },
    ])
  })

  test('is more where it reads more', () => {
    const { seen, pool } = asked({ session: true })
    pool.acquire({ ...requestFor(undefined, { stream: true }), session: 'alice' })
    assert.deepEqual(seen, [
      { model: undefined, again: false, stream: true, prompt: undefined, session: 'alice' },
    ])
  })
})

describe('what was found for one request', () => {
  test('is forgotten as soon as a worker has changed', () => {
    const { workers, reached, pool } = fleet(2)
    const [one, other] = workers
    assert.deepEqual(reached(), new Set(workers))
    const changes: [string, () => void, Set<Worker>][] = [
      ['drains', () => (one.draining = true), new Set([other])],
      ['serves again', () => (one.draining = false), new Set(workers)],
      ['is down', () => (one.health = refused), new Set([other])],
      ['is up', () => (one.health = { name: 'healthy' }), new Set(workers)],
      ['refuses the key', () => (one.keyRefused = true), new Set([other])],
      ['takes the key', () => (one.keyRefused = false), new Set(workers)],
      ['refuses work', () => one.refuse(1000), new Set([other])],
      ['has room', () => one.hasRoom(), new Set(workers)],
      ['may have nothing', () => (one.maxInFlight = 0), new Set([other])],
      ['may have something', () => (one.maxInFlight = 5), new Set(workers)],
      ['has its breaker open', () => (one.breaker = fixedBreaker('open')), new Set([other])],
      ['has none', () => (one.breaker = undefined), new Set(workers)],
      ['is gone', () => pool.remove(one), new Set([other])],
    ]
    for (const [what, change, expected] of changes) {
      change()
      assert.deepEqual(reached(), expected, what)
    }
  })

  test('is forgotten for its model when a worker has other models', () => {
    const { workers, reached } = fleet(2)
    const [one, other] = workers
    for (const worker of workers) worker.listModels([{ id: 'a' }, { id: 'b' }])
    assert.deepEqual(reached(12, requestFor('a')), new Set(workers))
    one.listModels([{ id: 'b' }, { id: 'c' }])
    assert.deepEqual(reached(12, requestFor('a')), new Set([other]))
    one.listModels([{ id: 'b' }, { id: 'c' }, { id: 'a' }])
    assert.deepEqual(reached(12, requestFor('a')), new Set(workers))
  })

  test('is forgotten when a worker has shown by its answers what it has', () => {
    const { workers, reached } = fleet(2)
    const [one, other] = workers
    one.learnModel('a', true)
    assert.deepEqual(reached(12, requestFor('a')), new Set(workers))
    one.learnModel('a', false)
    other.learnModel('a', true)
    assert.deepEqual(reached(12, requestFor('a')), new Set([other]))
    one.forgetLacking()
    assert.deepEqual(reached(12, requestFor('a')), new Set(workers))
  })

  test('does not let more requests to a worker than it may have', () => {
    const { pool, workers } = fleet(2, { maxInFlightPerWorker: 2, policy: leastInflight() })
    const leases = Array.from({ length: 4 }, () => pool.acquire(requestFor()))
    assert.deepEqual(
      workers.map(({ inFlight }) => inFlight),
      [2, 2],
    )
    assert.equal(pool.acquire(requestFor()), undefined)
    leases.at(-1)?.settle('success')
    assert.ok(pool.acquire(requestFor()))
  })

  test('is kept when a worker says only what it said before', () => {
    const { pool, workers } = fleet(2)
    const [one] = workers
    one.listModels([{ id: 'a' }])
    one.learnModel('lora', true)
    const choice = () => pool.acquire(requestFor('a'))?.passedOver
    const before = choice()
    one.listModels([{ id: 'a' }])
    one.keyRefused = false
    one.learnModel('lora', true)
    one.forgetLacking()
    assert.equal(choice(), before, 'the very same: nobody has looked again')
    one.learnModel('lora', false)
    assert.notEqual(choice(), before)
  })
})

describe('when to come again', () => {
  test('is when the first of the busy workers for the model may have room', () => {
    const { clock, pool, workers } = fleet(3)
    assert.equal(pool.roomAfter(undefined), undefined)
    workers[0].refuse(4000)
    workers[1].refuse(2000)
    workers[2].refuse(1000)
    workers[2].health = refused
    clock.advance(500)
    assert.equal(pool.roomAfter(undefined), 1.5)
    workers[1].listModels([{ id: 'b' }])
    assert.equal(pool.roomAfter('a'), 3.5)
  })

  test('is a second where no breaker is open', () => {
    assert.equal(fleet(1).pool.retryAfter(), 1)
  })

  test('is in a moment where a worker has not been probed yet', () => {
    const { pool, workers } = fleet(2)
    assert.equal(pool.isUnknown, true)
    workers[0].probed = true
    assert.equal(pool.isUnknown, true)
    workers[1].probed = true
    assert.equal(pool.isUnknown, false)
  })
})

describe('a new configuration', () => {
  test('gives each worker another breaker and another cap, those that come later too', () => {
    const { pool, workers, addHealthy } = fleet(2)
    const made: string[] = []
    pool.reconfigure({
      createBreaker: (url) => {
        made.push(url)
        return fixedBreaker('closed')
      },
      maxInFlightPerWorker: 1,
    })
    addHealthy('http://late:1')
    assert.deepEqual(made, ['http://w0:1', 'http://w1:1', 'http://late:1'])
    assert.equal(workers[0].breakerState.name, 'closed')
    for (let at = 0; at < 3; at++) assert.ok(pool.acquire(requestFor()))
    assert.equal(pool.acquire(requestFor()), undefined)
  })

  test('without breakers takes them away; one that names none leaves them', () => {
    const { pool, workers } = fleet(1, { createBreaker: () => fixedBreaker('half_open') })
    pool.reconfigure({ maxInFlightPerWorker: 3 })
    assert.equal(workers[0].breakerState.name, 'half_open')
    pool.reconfigure({ createBreaker: () => undefined })
    assert.equal(workers[0].breakerState.name, 'closed')
  })
})
