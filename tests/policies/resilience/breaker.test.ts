/** The circuit breaker of one worker: when it opens, who tries, when it closes. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Breaker, type BreakerOptions, type Permit } from '../../../policies/resilience/breaker.ts'
import type { Outcome } from '../../../policies/resilience/outcome.ts'
import { ManualClock } from '../../support/manual-clock.ts'

/** The breaker under test, a clock to turn, and what it reported. Without jitter unless told. */
function setUp(options: Partial<BreakerOptions> = {}) {
  const clock = new ManualClock()
  const moves: string[] = []
  const breaker = new Breaker({
    failureThreshold: 3,
    successThreshold: 2,
    openMs: 5000,
    failureRate: 0.5,
    minimumRequests: 20,
    windowMs: 30_000,
    now: () => clock.now(),
    random: () => 0.5,
    onTransition: (from, to, reason) => moves.push(`${from} -> ${to}${reason === '' ? '' : `: ${reason}`}`),
    ...options,
  })
  const run = async (...outcomes: Outcome[]) => {
    for (const outcome of outcomes) await breaker.leave(breaker.enter(), outcome, 'status 500')
  }
  return { breaker, clock, moves, run }
}

function times(count: number, ...outcomes: Outcome[]): Outcome[] {
  return Array.from({ length: count }, () => outcomes).flat()
}

describe('failures in a row', () => {
  test('open at the threshold, not before', async () => {
    const { breaker, run } = setUp()
    await run('failure', 'failure')
    assert.ok(breaker.allows())
    assert.equal(breaker.remainingMs, 0)
    await run('failure')
    assert.ok(!breaker.allows())
    assert.deepEqual(breaker.state, { name: 'open', reason: '3 failures in a row', until: 5000 })
    assert.equal(breaker.remainingMs, 5000)
  })

  test('are broken by one success', async () => {
    const { breaker, run } = setUp({ minimumRequests: 1000 })
    await run(...times(10, 'failure', 'failure', 'success'))
    assert.equal(breaker.state.name, 'closed')
  })

  test('are not broken by what says nothing about the worker', async () => {
    const { breaker, run } = setUp()
    await run('failure', 'neutral', 'failure', 'neutral', 'failure')
    assert.equal(breaker.state.name, 'open')
  })

  test('that end in the same moment open once', async () => {
    const { breaker, moves } = setUp()
    const permits = Array.from({ length: 10 }, () => breaker.enter())
    await Promise.all(permits.map((permit) => breaker.leave(permit, 'failure')))
    assert.deepEqual(moves, ['closed -> open: 3 failures in a row'])
    assert.equal(breaker.remainingMs, 5000)
  })
})

describe('the share of failures', () => {
  test('opens when enough requests of the window have failed', async () => {
    const { breaker, run, moves } = setUp()
    await run(...times(9, 'success', 'failure'), 'success')
    assert.equal(breaker.state.name, 'closed', '19 requests are too few to tell')
    await run('failure')
    assert.deepEqual(moves, ['closed -> open: 10 of 20 requests failed within 30 s'])
  })

  test('below the limit never opens', async () => {
    const { breaker, run } = setUp()
    await run(...times(100, 'failure', 'success', 'success'))
    assert.equal(breaker.state.name, 'closed')
  })

  test('forgets what is older than the window', async () => {
    const { breaker, clock, run } = setUp()
    await run(...times(9, 'success', 'failure'))
    clock.advance(30_000)
    await run('success', 'failure')
    assert.equal(breaker.state.name, 'closed')
  })

  test('remembers what is a little younger than the window', async () => {
    const { breaker, clock, run } = setUp()
    await run(...times(9, 'success', 'failure'))
    clock.advance(26_999)
    await run('success', 'failure')
    assert.equal(breaker.state.name, 'open')
  })

  test('does not count what says nothing about the worker', async () => {
    const { breaker, run } = setUp()
    await run(...times(9, 'success', 'failure'), ...times(500, 'neutral'))
    assert.equal(breaker.state.name, 'closed')
    await run('success', 'failure')
    assert.equal(breaker.state.name, 'open')
  })

  test('starts afresh after a recovery', async () => {
    const { breaker, clock, run } = setUp({ failureThreshold: 1000 })
    await run(...times(10, 'success', 'failure'))
    clock.advance(5000)
    await run('success', 'success')
    assert.equal(breaker.state.name, 'closed')
    await run(...times(19, 'failure'))
    assert.equal(breaker.state.name, 'closed', 'the failures before are forgiven')
    await run('failure')
    assert.equal(breaker.state.name, 'open')
  })
})

async function opened(options: Partial<BreakerOptions> = {}) {
  const all = setUp(options)
  await all.run('failure', 'failure', 'failure')
  assert.equal(all.breaker.state.name, 'open')
  return all
}

describe('an open breaker', () => {
  test('is half open from the very moment its time is over', async () => {
    const { breaker, clock } = await opened()
    clock.advance(4999)
    assert.equal(breaker.state.name, 'open')
    assert.equal(breaker.remainingMs, 1)
    assert.ok(!breaker.allows())
    clock.advance(1)
    assert.deepEqual(breaker.state, {
      name: 'half_open',
      reason: '3 failures in a row',
      trialRunning: false,
    })
    assert.ok(breaker.allows())
  })

  test('lets exactly one request through; the others are sent elsewhere at once', async () => {
    const { breaker, clock } = await opened()
    clock.advance(5000)
    const trial = breaker.enter()
    assert.ok(trial.trial)
    clock.advance(60_000)
    assert.ok(!breaker.allows(), 'however long the trial takes')
    await breaker.leave(trial, 'success')
    assert.ok(breaker.allows(), 'the next trial')
  })

  test('closes after enough successful trials', async () => {
    const { breaker, clock, run } = await opened()
    clock.advance(5000)
    await run('success')
    assert.equal(breaker.state.name, 'half_open')
    await run('success')
    assert.deepEqual(breaker.state, { name: 'closed' })
  })

  test('frees its trial when that said nothing about the worker', async () => {
    const { breaker, clock, run } = await opened()
    clock.advance(5000)
    await run('neutral', 'neutral')
    assert.deepEqual(breaker.state, {
      name: 'half_open',
      reason: '3 failures in a row',
      trialRunning: false,
    })
    await run('success', 'neutral', 'success')
    assert.equal(breaker.state.name, 'closed')
  })

  test('opens again when a trial fails, even after one that did not', async () => {
    const { breaker, clock, run } = await opened()
    clock.advance(5000)
    await run('success', 'failure')
    assert.deepEqual(breaker.state, { name: 'open', reason: 'trial failed: status 500', until: 15_000 })
  })

  test('opens twice as long with each failed trial, up to a minute', async () => {
    const { breaker, clock, run } = await opened()
    const openTimes: number[] = []
    for (let trial = 0; trial < 6; trial++) {
      openTimes.push(breaker.remainingMs)
      clock.advance(breaker.remainingMs)
      await run('failure')
    }
    assert.deepEqual(openTimes, [5000, 10_000, 20_000, 40_000, 60_000, 60_000])
  })

  test('varies its time by a tenth, so that workers that failed together are not tried together', async () => {
    await fc.assert(
      fc.asyncProperty(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), async (chance) => {
        const { breaker, clock, run } = await opened({ random: () => chance })
        for (const openMs of [5000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
          const ms = breaker.remainingMs
          assert.ok(Math.abs(ms - openMs * (0.9 + 0.2 * chance)) < 0.001, `${ms} of ${openMs}`)
          clock.advance(ms + 0.001)
          await run('failure')
        }
      }),
      { numRuns: 30 },
    )
  })

  test('starts with the short time again after it has closed', async () => {
    const { breaker, clock, run } = await opened()
    for (let trial = 0; trial < 3; trial++) {
      clock.advance(breaker.remainingMs)
      await run('failure')
    }
    clock.advance(breaker.remainingMs)
    await run('success', 'success', 'failure', 'failure')
    assert.equal(breaker.state.name, 'closed', 'the count of failures in a row starts afresh, too')
    await run('failure')
    assert.equal(breaker.remainingMs, 5000)
  })

  test('may be tried at once when there is news, and is then as patient as at first', async () => {
    const { breaker, clock, run, moves } = await opened()
    clock.advance(5000)
    await run('failure')
    assert.equal(breaker.remainingMs, 10_000)
    breaker.tryNow()
    assert.ok(breaker.allows())
    assert.equal(moves.length, 3, 'no transition before somebody tries')
    await run('failure')
    assert.equal(breaker.remainingMs, 5000)
  })
})

describe('news', () => {
  test('mean nothing to a breaker that is closed or has its trial under way', async () => {
    const { breaker, clock, run } = setUp()
    breaker.tryNow()
    assert.deepEqual(breaker.state, { name: 'closed' })
    await run('failure', 'failure', 'failure')
    clock.advance(5000)
    breaker.enter()
    breaker.tryNow()
    assert.ok(!breaker.allows())
  })
})

describe('a verdict that comes late', () => {
  test('does not open a breaker that has healed since', async () => {
    const { breaker, clock, run } = setUp()
    const slow: Permit[] = Array.from({ length: 5 }, () => breaker.enter())
    await run('failure', 'failure', 'failure')
    clock.advance(5000)
    await run('success', 'success')
    for (const permit of slow) await breaker.leave(permit, 'failure')
    assert.equal(breaker.state.name, 'closed')
  })

  test('does not close, reopen or free the trial of a half-open breaker', async () => {
    const { breaker, clock, run } = setUp()
    const slow = [breaker.enter(), breaker.enter(), breaker.enter()]
    await run('failure', 'failure', 'failure')
    clock.advance(5000)
    breaker.enter()
    for (const outcome of ['success', 'failure', 'neutral'] as const) {
      await breaker.leave(slow.pop() as Permit, outcome)
      assert.ok(!breaker.allows())
      assert.equal(breaker.state.name, 'half_open')
    }
  })
})

test('every transition is reported exactly once, in order and with its reason', async () => {
  const { breaker, clock, run, moves } = await opened()
  clock.advance(5000)
  assert.ok(breaker.allows())
  assert.equal(moves.length, 1, 'looking is no transition')
  await run('failure')
  clock.advance(breaker.remainingMs)
  await run('neutral', 'success', 'success')
  assert.deepEqual(moves, [
    'closed -> open: 3 failures in a row',
    'open -> half_open: 3 failures in a row',
    'half_open -> open: trial failed: status 500',
    'open -> half_open: trial failed: status 500',
    'half_open -> closed',
  ])
})
