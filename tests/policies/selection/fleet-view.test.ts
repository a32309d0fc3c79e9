/** What the workers' own metrics tell a router of everybody's requests. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FleetView, freshness } from '../../../policies/selection/fleet-view.ts'
import type { EngineFacts } from '../../../policies/selection/policy.ts'
import { candidate } from '../../support/candidates.ts'

const engine = (facts: Partial<EngineFacts>): EngineFacts => ({
  at: 0,
  own: 0,
  foreign: 0,
  foreignWaiting: 0,
  cacheQueries: undefined,
  cacheHits: undefined,
  cacheTokens: undefined,
  ...facts,
})

function viewing() {
  const clock = { now: 0 }
  const view = new FleetView(() => clock.now)
  const read = (...engines: (Partial<EngineFacts> | undefined)[]) =>
    view.read(
      engines.map((facts, at) =>
        facts === undefined ? candidate(at) : { ...candidate(at), engine: engine(facts) },
      ),
      100,
    )
  return { clock, view, read }
}

const near = (value: number, expected: number) => assert.ok(Math.abs(value - expected) < 1e-9, String(value))

describe('the share of requests that are not this router’s', () => {
  test('follows what all workers tell together, a twentieth with each reading', () => {
    const { clock, view, read } = viewing()
    read({ own: 1, foreign: 3 }, undefined, { own: 1, foreign: 3 })
    near(view.foreignShare, 0.75 / 20)
    clock.now = 1000
    read({ own: 1, foreign: 0 })
    near(view.foreignShare, (0.75 / 20) * 0.95)
  })

  test('is read once a second, and not from an idle fleet', () => {
    const { clock, view, read } = viewing()
    read({ own: 0, foreign: 2 })
    const before = view.foreignShare
    clock.now = 999
    read({ own: 0, foreign: 2 })
    assert.equal(view.foreignShare, before)
    clock.now = 1000
    read({ own: 0, foreign: 0 })
    assert.equal(view.foreignShare, before)
    clock.now = 2000
    read({ own: 0, foreign: 2 })
    assert.ok(view.foreignShare > before)
  })
})

describe('the share of prompt tokens that are not found in caches', () => {
  test('follows what has been looked for since the last reading', () => {
    const { clock, view, read } = viewing()
    assert.equal(view.missShare, 1)
    read({ at: 1, cacheQueries: 1000, cacheHits: 500 })
    // A tenth of a hundred prompts of 100 tokens.
    near(view.missShare, 1 - 0.5 * 0.1)
    clock.now = 1000
    read({ at: 2, cacheQueries: 21_000, cacheHits: 20_500 })
    near(view.missShare, 0)
  })

  test('takes nothing from what was read before, and nothing from an engine that was started anew', () => {
    const { clock, view, read } = viewing()
    read({ at: 1, cacheQueries: 1000, cacheHits: 500 })
    const before = view.missShare
    clock.now = 1000
    read({ at: 1, cacheQueries: 9000, cacheHits: 9000 })
    assert.equal(view.missShare, before, 'the same word as before')
    clock.now = 2000
    read({ at: 2, cacheQueries: 600, cacheHits: 10 })
    assert.equal(view.missShare, before, 'started anew')
    clock.now = 3000
    read({ at: 3, cacheQueries: 700, cacheHits: 5 })
    assert.equal(view.missShare, before, 'started anew again')
    clock.now = 4000
    read({ at: 4, cacheQueries: 1700, cacheHits: 1005 })
    assert.ok(view.missShare < before)
  })

  test('begins anew for a worker that is gone', () => {
    const { clock, view, read } = viewing()
    read({ at: 1, cacheQueries: 1000, cacheHits: 1000 })
    const before = view.missShare
    view.forget('worker-0')
    clock.now = 1000
    read({ at: 1, cacheQueries: 1000, cacheHits: 1000 })
    assert.ok(view.missShare < before)
  })
})

test('a worker’s word counts fully for five seconds, and for nothing after fifteen', () => {
  for (const [age, weight] of [
    [0, 1],
    [5000, 1],
    [10_000, 0.5],
    [15_000, 0],
    [60_000, 0],
  ] as const)
    near(freshness(engine({ at: 1000 }), 1000 + age), weight)
})
