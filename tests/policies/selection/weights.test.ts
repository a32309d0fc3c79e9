/** Weights: every policy gives each worker its part of the work, and what it has learnt stays where it can. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { selectionPolicies } from '../../../policies/selection/index.ts'
import type { Booking, SelectionPolicy, SelectionRequest } from '../../../policies/selection/policy.ts'
import { roundRobin } from '../../../policies/selection/round-robin.ts'
import { candidates, type Facts, tally } from '../../support/candidates.ts'
import { seeded } from '../../support/random.ts'
import { selectionContext } from '../../support/selection-context.ts'

const weights = [1, 3, 0.5, 1.5]
const total = weights.reduce((sum, weight) => sum + weight)

function weighted(): Facts[] {
  return candidates(weights.length).map((one, at) => ({ ...one, weight: weights[at]! }))
}

function create(name: string): SelectionPolicy {
  return selectionPolicies[name]!(selectionContext({ random: seeded(11) }))
}

/** A request like those of a busy day: of a session of its own, with a prompt of its own. */
function requestOf(at: number): SelectionRequest {
  const blocks = [7000 + 3 * at, 7001 + 3 * at]
  const prompt = { blocks, bytes: 8192, bytesOf: (count: number) => 4096 * count }
  return { model: undefined, stream: true, session: `session-${at}`, prompt }
}

/**
 * What each worker gets of so many requests, with `open` of them under way at any moment; whichever comes first ends
 * first, whatever its worker.
 */
function shares(policy: SelectionPolicy, list: Facts[], { open, count }: { open: number; count: number }) {
  const running: { worker: Facts; booking: Booking | undefined }[] = []
  const chosen: Facts[] = []
  for (let at = 0; at < count; at++) {
    const request = requestOf(at)
    const worker = policy.select(list, request)
    running.push({ worker, booking: policy.book?.(worker, request) })
    worker.inFlight += 1
    chosen.push(worker)
    if (running.length <= open) continue
    const first = running.shift()!
    first.booking?.firstToken()
    first.booking?.end()
    first.worker.inFlight -= 1
  }
  return tally(list, chosen)
}

for (const name of Object.keys(selectionPolicies)) {
  describe(`weights under ${name}`, () => {
    test('are the shares of a busy fleet', () => {
      const counts = shares(create(name), weighted(), { open: 60, count: 6000 })
      counts.forEach((got, at) => {
        const fair = (6000 * weights[at]!) / total
        // Two draws of four workers level the load only in part; a ring of 64 places is uneven by an eighth.
        assert.ok(Math.abs(got - fair) < 0.25 * fair + 60, `worker ${at}: ${got}, fair ${fair}`)
      })
    })

    // More places on a ring are other places; and cache_aware takes workers that are all heavy for faster ones.
    if (name === 'consistent_hash' || name === 'cache_aware') return

    test('that are all alike change nothing', () => {
      const plain = shares(create(name), candidates(4), { open: 10, count: 300 })
      const heavy = candidates(4).map((one) => ({ ...one, weight: 2 }))
      assert.deepEqual(shares(create(name), heavy, { open: 10, count: 300 }), plain)
    })
  })
}

for (const name of ['rendezvous_hash', 'consistent_hash', 'cache_aware']) {
  test(`a worker with twice the weight takes sessions over under ${name}, and no others move`, () => {
    const policy = create(name)
    let list = candidates(8)
    const home = (): number[] =>
      Array.from({ length: 2000 }, (_, at) => {
        const request = { model: undefined, session: `session-${at}`, stream: true }
        const worker = policy.select(list, request)
        policy.book?.(worker, request).end()
        return worker.ordinal
      })
    const before = home()
    // The pool makes a new list when something has changed.
    list = list.map((one) => (one.ordinal === 3 ? { ...one, weight: 2 } : one))
    const after = home()
    const moved = after.filter((ordinal, at) => ordinal !== before[at])
    assert.ok(moved.every((ordinal) => ordinal === 3))
    // From an eighth to two ninths.
    assert.ok(moved.length > 80 && moved.length < 320, `${moved.length} moved`)
  })
}

describe('turns by weight', () => {
  test('are exact over one round, and never in one burst', () => {
    const list = candidates(3).map((one, at) => ({ ...one, weight: [5, 1, 1][at]! }))
    const policy = roundRobin({ random: () => 0 })
    const chosen = Array.from({ length: 7 }, () => policy.select(list, { model: undefined }))
    assert.deepEqual(tally(list, chosen), [5, 1, 1])
    const ordinals = chosen.map(({ ordinal }) => ordinal).join('')
    assert.ok(!ordinals.includes('00000'), ordinals)
  })

  test('are fair whoever comes and goes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 6 }),
        fc.array(fc.nat(5), { maxLength: 20 }),
        (given, gone) => {
          const list = candidates(given.length).map((one, at) => ({ ...one, weight: given[at]! }))
          const policy = roundRobin({ random: () => 0 })
          for (const at of gone) {
            const left = list.filter(({ ordinal }) => ordinal !== at)
            policy.select(left.length > 0 ? left : list, { model: undefined })
          }
          const sum = given.reduce((all, weight) => all + weight)
          const chosen = Array.from({ length: 20 * sum }, () => policy.select(list, { model: undefined }))
          tally(list, chosen).forEach((got, at) => {
            assert.ok(Math.abs(got - 20 * given[at]!) <= 20 + gone.length, `${got} of weight ${given[at]}`)
          })
        },
      ),
    )
  })
})

test('routers that start together do not take the same first turn', () => {
  const random = seeded(5)
  const firsts = Array.from({ length: 40 }, () =>
    roundRobin({ random }).select(candidates(8), { model: undefined }),
  )
  assert.ok(new Set(firsts.map(({ ordinal }) => ordinal)).size >= 6)
})
