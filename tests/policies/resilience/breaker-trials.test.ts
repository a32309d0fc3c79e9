/** Who makes a good trial of a half-open breaker, who is sent although it forbids it, and what others' streams say. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Breaker } from '../../../policies/resilience/breaker.ts'
import { FleetOpinion } from '../../../policies/resilience/fleet-opinion.ts'
import { AppClock } from '../../support/app-clock.ts'
import { requestFor, testPool } from '../../support/pool.ts'

const openMs = 5000

/** A breaker that three requests of one kind have opened. */
async function opened() {
  const clock = new AppClock()
  const breaker = new Breaker({
    failureThreshold: 3,
    successThreshold: 2,
    openMs,
    failureRate: 0.5,
    minimumRequests: 20,
    windowMs: 30_000,
    now: () => clock.now(),
    random: () => 0.5,
  })
  for (let failure = 0; failure < 3; failure++)
    await breaker.leave(breaker.enter(), 'failure', 'status 500', 'bad')
  return { breaker, clock }
}

describe('a half-open breaker', () => {
  test('would rather have a trial unlike the requests that opened it, for a fifth of the open time', async () => {
    const { breaker, clock } = await opened()
    clock.advance(openMs)
    assert.deepEqual([breaker.poorTrial('bad'), breaker.poorTrial('good')], [true, false])
    clock.advance(openMs / 5)
    assert.ok(!breaker.poorTrial('bad'), 'a worker with one kind of clients must come back too')
  })

  test('lets the next trial in as soon as one has begun well, and judges each at its end', async () => {
    const { breaker, clock } = await opened()
    clock.advance(openMs)
    const first = breaker.enter()
    assert.ok(!breaker.allows(), 'one at a time')
    breaker.yieldTrial(first)
    assert.ok(breaker.allows())
    const second = breaker.enter()
    // It has had its turn: nothing that it does lets a third one in.
    breaker.yieldTrial(first)
    assert.ok(!breaker.allows())
    await breaker.leave(second, 'success')
    assert.equal(breaker.state.name, 'half_open')
    await breaker.leave(first, 'success')
    assert.equal(breaker.state.name, 'closed')
  })

  test('has forgotten them when it has closed', async () => {
    const { breaker, clock } = await opened()
    clock.advance(openMs)
    for (let trial = 0; trial < 2; trial++) await breaker.leave(breaker.enter(), 'success')
    assert.equal(breaker.state.name, 'closed')
    for (let failure = 0; failure < 3; failure++)
      await breaker.leave(breaker.enter(), 'failure', 'x', 'other')
    clock.advance(openMs)
    assert.deepEqual([breaker.poorTrial('bad'), breaker.poorTrial('other')], [false, true])
  })
})

describe('a request that an open breaker forbids', () => {
  test('ends the open time with its success', async () => {
    const { breaker } = await opened()
    const permit = breaker.enter()
    assert.deepEqual([permit.forced, permit.trial], [true, false])
    await breaker.leave(permit, 'success')
    assert.ok(breaker.allows(), 'a trial is due')
  })

  test('changes nothing with its failure', async () => {
    const { breaker, clock } = await opened()
    for (let failure = 0; failure < 10; failure++) await breaker.leave(breaker.enter(), 'failure', 'x', 'bad')
    assert.equal(breaker.remainingMs, openMs)
    clock.advance(openMs)
    assert.ok(breaker.allows())
  })
})

describe('a pool', () => {
  async function poolOf(size: number) {
    const { breaker, clock } = await opened()
    const breakers = [breaker]
    const { pool, addHealthy } = testPool({ clock, createBreaker: () => breakers.shift()! })
    const workers = Array.from({ length: size }, (_, at) => addHealthy(`http://w${at}:1`))
    return { pool, clock, workers }
  }

  test('sends a request to the only worker of its model although the breaker forbids it', async () => {
    const { pool, workers } = await poolOf(2)
    workers[0]!.listModels([{ id: 'a' }])
    workers[1]!.listModels([{ id: 'b' }])
    const lease = pool.acquire(requestFor('a'))
    assert.ok(lease !== undefined && lease.worker === workers[0] && lease.isForced)
    assert.equal(pool.acquire(requestFor('a'), { tried: new Set() }), undefined, 'once for each request')
  })

  test('does not where another serves the model', async () => {
    const { pool, workers } = await poolOf(2)
    for (let request = 0; request < 5; request++)
      assert.equal(pool.acquire(requestFor('a'))?.worker, workers[1])
  })

  test('makes a request of another kind the trial while there is a choice', async () => {
    const { pool, clock, workers } = await poolOf(2)
    clock.advance(openMs)
    for (let request = 0; request < 5; request++)
      assert.equal(pool.acquire(requestFor('a', { kind: 'bad' }))?.worker, workers[1])
    const leases = [0, 1].map(() => pool.acquire(requestFor('a', { kind: 'good' })))
    assert.ok(leases.some((lease) => lease?.worker === workers[0] && lease?.isTrial))
  })
})

describe('the opinion of the fleet on a broken stream', () => {
  test('is against a worker that is alone with it', () => {
    const opinion = new FleetOpinion(() => 0)
    for (let stream = 0; stream < 5; stream++) assert.ok(opinion.isAlone('a', 'broken_off'))
  })

  test('is against nobody when two do alike within half a minute', () => {
    let now = 0
    const opinion = new FleetOpinion(() => now)
    assert.ok(opinion.isAlone('a', 'broken_off'))
    assert.ok(!opinion.isAlone('b', 'broken_off'))
    assert.ok(opinion.isAlone('b', 'fell_silent'), 'another fault is another matter')
    now = 30_001
    assert.ok(opinion.isAlone('a', 'broken_off'), 'what is long ago is forgotten')
  })
})
