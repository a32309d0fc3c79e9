/** What every selection policy promises, whatever its idea of a good choice: one suite over the list of policies. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { selectionPolicies } from '../../../policies/selection/index.ts'
import type { Candidate, SelectionPolicy, SelectionRequest } from '../../../policies/selection/policy.ts'
import { AppClock } from '../../support/app-clock.ts'
import { anyCandidates, candidates, tally } from '../../support/candidates.ts'
import { requestFor, testPool } from '../../support/pool.ts'
import { seeded } from '../../support/random.ts'
import { selectionContext } from '../../support/selection-context.ts'

const anyRequest: fc.Arbitrary<SelectionRequest> = fc.record({
  model: fc.constantFrom(undefined, 'model-a', 'model-b'),
  again: fc.boolean(),
  stream: fc.boolean(),
  session: fc.option(fc.string({ minLength: 1, maxLength: 3 }), { nil: undefined }),
  prompt: fc.option(
    fc.array(fc.nat(5), { maxLength: 5 }).map((blocks) => ({
      blocks,
      bytes: 300 + 256 * blocks.length,
      bytesOf: (count: number) => 256 * count,
    })),
    { nil: undefined },
  ),
})

/** Choosing and booking are one step. */
function choose<C extends Candidate>(
  policy: SelectionPolicy,
  list: readonly C[],
  request: SelectionRequest,
): C {
  const chosen = policy.select(list, request)
  policy.book?.(chosen, request).end()
  return chosen
}

/** For whoever meets a rule with a policy that is meant to break it. */
const onPurpose = 'on purpose? then an entry in `exceptions` in this file, with the reason'

const rules: Readonly<Record<string, (create: () => SelectionPolicy) => void>> = {
  'chooses one of the candidates, at once'(create) {
    const policy = create()
    fc.assert(
      fc.property(anyCandidates(), anyRequest, (list, request) => {
        assert.ok(list.includes(choose(policy, list, request)))
      }),
    )
  },

  'takes the only candidate there is'(create) {
    const policy = create()
    fc.assert(
      fc.property(anyCandidates(1), anyRequest, (list, request) => {
        assert.equal(choose(policy, list, request), list[0])
      }),
    )
  },

  'copes with a thousand candidates'(create) {
    const policy = create()
    const list = candidates(1000)
    for (let i = 0; i < 2000; i++) assert.ok(list.includes(choose(policy, list, { model: undefined })))
  },

  'forgets a worker that is gone, and takes it as new when it is back'(create) {
    const policy = create()
    const list = candidates(4)
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), anyRequest), { maxLength: 30 }), (steps) => {
        for (const [gone, request] of steps) {
          choose(policy, list, request)
          const { id } = list[gone]!
          policy.forget?.(id)
          const left = list.filter((one) => one.id !== id)
          assert.ok(left.includes(choose(policy, left, request)))
        }
      }),
    )
  },

  'says why in one of the known words'(create) {
    const policy = create()
    const words = ['turn', 'load', 'session', 'affinity', 'index', 'spill']
    fc.assert(
      fc.property(anyCandidates(), anyRequest, (list, request) => {
        choose(policy, list, request)
        assert.ok(words.includes(policy.why ?? ''), policy.why)
      }),
    )
  },

  'changes neither the list nor the candidates nor the request'(create) {
    const policy = create()
    fc.assert(
      fc.property(anyCandidates(), anyRequest, (list, request) => {
        const before = JSON.stringify({ list, request })
        // Frozen, a write throws; the comparison is for what freezing does not reach.
        for (const one of list) Object.freeze(one)
        choose(policy, Object.freeze(list), Object.freeze(request))
        assert.equal(JSON.stringify({ list, request }), before)
      }),
    )
  },

  'survives that the membership changes between any two requests'(create) {
    const everyone = candidates(8)
    const someOf = fc.subarray(everyone, { minLength: 1 })
    fc.assert(
      fc.property(fc.array(fc.tuple(someOf, anyRequest), { minLength: 1, maxLength: 40 }), (steps) => {
        const policy = create()
        for (const [list, request] of steps) assert.ok(list.includes(choose(policy, list, request)))
      }),
    )
  },

  'uses every candidate when all have the same load'(create) {
    const policy = create()
    for (const size of [2, 5, 11]) {
      const list = candidates(size)
      const chosen = Array.from({ length: size * 200 }, () => choose(policy, list, { model: undefined }))
      const counts = tally(list, chosen)
      assert.ok(
        Math.min(...counts) > 100 && Math.max(...counts) < 300,
        `choices per candidate, of ${size} with the same load: ${counts}; ties must take turns (${onPurpose})`,
      )
    }
  },

  'uses a worker again that has been away'(create) {
    const policy = create()
    const list = candidates(3)
    const request = { model: undefined }
    for (let i = 0; i < 50; i++) choose(policy, list.slice(0, 2), request)
    const chosen = Array.from({ length: 300 }, () => choose(policy, list, request))
    const counts = tally(list, chosen)
    assert.ok(
      Math.min(...counts) > 50,
      `choices per candidate, the last one was away: ${counts} (${onPurpose})`,
    )
  },

  'decides the same with the same chance and the same past'(create) {
    const one = create()
    const other = create()
    fc.assert(
      fc.property(anyCandidates(), anyRequest, (list, request) => {
        assert.equal(choose(one, list, request), choose(other, list, request))
      }),
    )
  },

  'never gets to see a model that a client made up, so that it cannot fill memory'(create) {
    const policy = create()
    const seen = new Set<string | undefined>()
    const spy: SelectionPolicy = {
      select<C extends Candidate>(list: readonly C[], request: SelectionRequest): C {
        seen.add(request.model)
        return policy.select(list, request)
      },
    }
    const { pool, addHealthy } = testPool({ policy: spy, clock: new AppClock() })
    // One worker has listed its models, the other may serve anything for all the pool knows.
    addHealthy('http://listed:1').listModels([{ id: 'real' }])
    addHealthy('http://silent:1')
    for (let i = 0; i < 1000; i++) pool.acquire(requestFor(`made-up-${i}`))?.settle('success')
    pool.acquire(requestFor('real'))?.settle('success')
    pool.acquire(requestFor(undefined))?.settle('success')
    for (const model of seen) assert.ok(model === undefined || model === 'real', model)
  },
}

/** Rules that a policy breaks on purpose, and why. */
const exceptions: Readonly<Record<string, Readonly<Record<string, string>>>> = {}

for (const [name, create] of Object.entries(selectionPolicies)) {
  describe(`the policy ${name}`, () => {
    for (const [rule, check] of Object.entries(rules)) {
      const reason = exceptions[name]?.[rule]
      if (reason === undefined) test(rule, () => check(() => create(selectionContext({ random: seeded(7) }))))
    }
  })
}

test('the exceptions speak of policies and rules that exist', () => {
  for (const [name, reasons] of Object.entries(exceptions)) {
    assert.ok(name in selectionPolicies, name)
    for (const rule of Object.keys(reasons)) assert.ok(rule in rules, rule)
  }
})
