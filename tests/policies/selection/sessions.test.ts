/** Policies that keep a session on one worker: every router on the same one, and no worker more than it can take. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { selectionPolicies } from '../../../policies/selection/index.ts'
import type { SelectionPolicy } from '../../../policies/selection/policy.ts'
import { stickyLeastLoaded } from '../../../policies/selection/sticky-least-loaded.ts'
import { candidates, type Facts, tally } from '../../support/candidates.ts'
import { seeded } from '../../support/random.ts'
import { selectionContext } from '../../support/selection-context.ts'

const sessions = Array.from({ length: 2000 }, (_, at) => `session-${at}`)

function create(name: string): SelectionPolicy {
  return selectionPolicies[name]!(selectionContext({ random: seeded(3) }))
}

/** Where each session goes while nothing is open anywhere. */
function places(policy: SelectionPolicy, list: readonly Facts[], names = sessions): Map<string, Facts> {
  return new Map(
    names.map((session) => {
      const request = { model: undefined, session, stream: true }
      const chosen = policy.select(list, request)
      policy.book?.(chosen, request).end()
      return [session, chosen]
    }),
  )
}

for (const name of ['rendezvous_hash', 'consistent_hash', 'cache_aware']) {
  describe(`sessions under ${name}`, () => {
    test('are on the same worker through every router, whatever else these have seen', () => {
      const list = candidates(8)
      const [one, other] = [create(name), create(name)]
      places(one, list, sessions.slice(0, 700))
      places(other, list, ['entirely', 'other', 'traffic'])
      const first = places(one, list)
      const second = places(other, list)
      const same = sessions.filter((session) => first.get(session) === second.get(session)).length
      assert.ok(same >= 0.95 * sessions.length, `${same} of ${sessions.length}`)
    })

    test('spread over the workers', () => {
      const list = candidates(8)
      const counts = tally(list, [...places(create(name), list).values()])
      assert.ok(Math.min(...counts) > 100 && Math.max(...counts) < 450, String(counts))
    })

    test('move only when their own worker is lost, and back when it returns', () => {
      const list = candidates(8)
      const policy = create(name)
      const before = places(policy, list)
      const lost = list[3]!
      policy.forget?.(lost.id)
      const during = places(
        policy,
        list.filter((one) => one !== lost),
      )
      const moved = sessions.filter((session) => during.get(session) !== before.get(session))
      assert.ok(moved.length <= sessions.length * (1 / 8 + 0.02), `${moved.length} moved`)
      assert.ok(moved.every((session) => before.get(session) === lost))
      const after = places(policy, list)
      const back = sessions.filter((session) => after.get(session) !== during.get(session))
      assert.ok(back.length <= moved.length, `${back.length} moved back`)
    })
  })
}

for (const name of ['rendezvous_hash', 'consistent_hash']) {
  describe(`a busy worker under ${name}`, () => {
    test('gives a session to the next one while it has a quarter more than the mean', () => {
      const list = candidates(4)
      const policy = create(name)
      const home = places(policy, list, ['one']).get('one')!
      for (let request = 0; request < 400; request++) {
        const chosen = policy.select(list, { model: undefined, session: 'one' })
        chosen.inFlight += 1
      }
      const loads = list.map(({ inFlight }) => inFlight)
      assert.equal(home.inFlight, Math.max(...loads))
      assert.ok(home.inFlight <= Math.ceil((1.25 * 401) / 4), String(loads))
    })

    test('does not matter to requests without a session: they go where the fewest are open', () => {
      const list = candidates(4, 5)
      list[2]!.inFlight = 1
      const policy = create(name)
      for (let request = 0; request < 4; request++) policy.select(list, { model: undefined }).inFlight += 1
      assert.deepEqual(
        list.map(({ inFlight }) => inFlight),
        [5, 5, 5, 5],
      )
    })
  })
}

describe('sessions under sticky_least_loaded', () => {
  function sticky() {
    const clock = { now: 0 }
    const policy = stickyLeastLoaded(selectionContext({ now: () => clock.now }))
    const list = candidates(3)
    const ask = (session: string | undefined, more: object = {}) =>
      policy.select(list, { model: undefined, session, ...more })
    return { clock, policy, list, ask }
  }

  test('begin where the fewest requests are open, and stay there', () => {
    const { list, ask } = sticky()
    list[0]!.inFlight = 2
    list[2]!.inFlight = 2
    assert.equal(ask('a'), list[1])
    list[1]!.inFlight = 50
    assert.equal(ask('a'), list[1])
    assert.notEqual(ask('b'), list[1])
    assert.notEqual(ask(undefined), list[1])
  })

  test('are forgotten after the time that is set', () => {
    const clock = { now: 0 }
    const { settings } = selectionContext()
    const context = selectionContext({ now: () => clock.now, settings: { ...settings, sessionMs: 5000 } })
    const policy = stickyLeastLoaded(context)
    const list = candidates(2)
    const ask = () => policy.select(list, { model: undefined, session: 'a' })
    const home = ask()
    home.inFlight = 9
    clock.now = 4999
    assert.equal(ask(), home)
    clock.now += 5000
    assert.notEqual(ask(), home)
  })

  test('are forgotten half an hour after their last request, when they are over, and with their worker', () => {
    const { clock, policy, list, ask } = sticky()
    const home = ask('a')
    home.inFlight = 9
    clock.now = 29 * 60_000
    assert.equal(ask('a'), home)
    clock.now = 58 * 60_000
    assert.equal(ask('a'), home)
    clock.now = 88 * 60_000
    assert.notEqual(ask('a'), home)
    const next = ask('a')
    next.inFlight = 20
    policy.finish?.('a')
    assert.notEqual(ask('a'), next)
    const last = ask('a')
    last.inFlight = 30
    policy.forget?.(last.id)
    assert.notEqual(ask('a'), last)
    assert.equal(list.length, 3)
  })

  test('have a place for each model, and lose all of them when they are over', () => {
    const { list, ask, policy } = sticky()
    list[1]!.inFlight = 1
    list[2]!.inFlight = 1
    const a = ask('s', { model: 'a' })
    a.inFlight = 9
    const b = ask('s', { model: 'b' })
    assert.notEqual(b, a)
    b.inFlight = 9
    assert.deepEqual([ask('s', { model: 'a' }), ask('s', { model: 'b' })], [a, b])
    policy.forget?.(b.id)
    assert.equal(ask('s', { model: 'a' }), a, 'the other worker is still there')
    policy.finish?.('s')
    const third = list.find((one) => one !== a && one !== b)
    assert.deepEqual([ask('s', { model: 'a' }), ask('s', { model: 'b' })], [third, third])
  })

  test('are at most 100,000, and those used last are kept', () => {
    const { list, ask } = sticky()
    const home = ask('first')
    const other = ask('second')
    for (let at = 0; at < 99_998; at++) ask(`session-${at}`)
    ask('first')
    ask('one more')
    for (const one of list) one.inFlight = one === home || one === other ? 9 : 0
    assert.equal(ask('first'), home)
    assert.notEqual(ask('second'), other)
  })

  test('stay when one of their requests is tried elsewhere', () => {
    const { list, ask, policy } = sticky()
    const home = ask('a')
    const others = list.filter((one) => one !== home)
    policy.select(others, { model: undefined, session: 'a', again: true })
    home.inFlight = 9
    assert.equal(ask('a'), home)
  })
})
