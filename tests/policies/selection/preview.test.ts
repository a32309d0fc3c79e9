/** What a preview promises, of every policy: it says what the next choice will be, and no choice is another for it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { byModel } from '../../../policies/selection/by-model.ts'
import { checkedPolicy } from '../../../policies/selection/checked.ts'
import { FleetView } from '../../../policies/selection/fleet-view.ts'
import { selectionPolicies } from '../../../policies/selection/index.ts'
import type {
  Booking,
  Candidate,
  EngineFacts,
  SelectionContext,
  SelectionPolicy,
  SelectionRequest,
} from '../../../policies/selection/policy.ts'
import { candidates, type Facts } from '../../support/candidates.ts'
import { seeded } from '../../support/random.ts'
import { selectionContext } from '../../support/selection-context.ts'

const anyRequest: fc.Arbitrary<SelectionRequest> = fc.record({
  model: fc.constantFrom(undefined, 'model-a', 'model-b'),
  again: fc.boolean(),
  stream: fc.boolean(),
  session: fc.option(fc.constantFrom('s1', 's2', 's3'), { nil: undefined }),
  prompt: fc.option(
    fc.array(fc.nat(2), { maxLength: 6 }).map((blocks) => ({
      blocks: blocks.map((block, at) => block + 10 * at),
      bytes: 300 + 4000 * blocks.length,
      bytesOf: (count: number) => 4000 * count,
    })),
    { nil: undefined },
  ),
})

const anyEngine: fc.Arbitrary<Omit<EngineFacts, 'at'>> = fc.record({
  own: fc.nat(5),
  foreign: fc.nat(9),
  foreignWaiting: fc.nat(4),
  cacheQueries: fc.option(fc.nat(100_000), { nil: undefined }),
  cacheHits: fc.option(fc.nat(1000), { nil: undefined }),
  cacheTokens: fc.constantFrom(undefined, 20_000),
})

/** What happens between two choices, and the choice. */
interface Step {
  readonly request: SelectionRequest
  /** Who may be chosen, and how they are. */
  readonly among: readonly number[]
  readonly load: readonly number[]
  readonly weights: readonly number[]
  readonly engine: Omit<EngineFacts, 'at'> | undefined
  readonly ms: number
  /** What becomes of the oldest open request. */
  readonly oldest: 'first token' | 'end' | 'nothing'
  readonly counted: boolean
  readonly forget: number | undefined
  /** What is asked meanwhile, and of whom. */
  readonly asked: readonly (readonly [request: SelectionRequest, among: readonly number[]])[]
}

const anySubset = fc.subarray([0, 1, 2, 3, 4], { minLength: 1 })

const anyStep: fc.Arbitrary<Step> = fc.record({
  request: anyRequest,
  among: anySubset,
  load: fc.array(fc.nat(3), { minLength: 5, maxLength: 5 }),
  weights: fc.oneof(
    fc.constant([1, 1, 1, 1, 1]),
    fc.array(fc.constantFrom(0.5, 1, 3), { minLength: 5, maxLength: 5 }),
  ),
  engine: fc.option(anyEngine, { nil: undefined }),
  ms: fc.constantFrom(0, 1, 40, 700, 1500, 20_000),
  oldest: fc.constantFrom('first token', 'end', 'nothing'),
  counted: fc.boolean(),
  forget: fc.option(fc.nat(4), { nil: undefined }),
  asked: fc.array(fc.tuple(anyRequest, anySubset), { maxLength: 3 }),
})

type Create = (context: SelectionContext) => SelectionPolicy

/** Goes through the steps; returns what was chosen in each of them. */
function run(create: Create, steps: readonly Step[], withPreviews: boolean): unknown[] {
  let now = 0
  const policy = create(selectionContext({ random: seeded(7), now: () => now }))
  const open: Booking[] = []
  const everyone: Facts[] = candidates(5)
  const preview = (among: readonly number[], request: SelectionRequest) => {
    const list = among.map((at) => everyone[at]!)
    const told = policy.preview?.(list, request)
    assert.ok(told !== undefined && list.includes(told))
    return { id: told.id, why: policy.why }
  }
  return steps.map((step) => {
    now += step.ms / 2
    for (const [at, one] of everyone.entries()) {
      one.inFlight = step.load[at]!
      one.engine = step.engine && { ...step.engine, at: now }
    }
    if (withPreviews) for (const [request, among] of step.asked) preview(among, request)
    now += step.ms / 2
    for (const [at, one] of everyone.entries()) one.weight = step.weights[at]!
    if (step.forget !== undefined) policy.forget?.(everyone[step.forget]!.id)
    if (step.counted) policy.counted?.(step.request.model, 4000, 900)
    if (step.oldest === 'first token') open[0]?.firstToken()
    if (step.oldest === 'end') open.shift()?.end()
    const list = step.among.map((at) => everyone[at]!)
    const told = withPreviews && preview(step.among, step.request)
    const { id } = policy.select(list, step.request)
    const chosen = { id, why: policy.why }
    if (told !== false) assert.deepEqual(told, chosen)
    const booking = policy.book?.({ ...everyone[0]!, id }, step.request)
    if (booking !== undefined) open.push(booking)
    return { ...chosen, expected: booking?.expected }
  })
}

const policies: Readonly<Record<string, Create>> = {
  ...selectionPolicies,
  'cache_aware, and round_robin for one model': (context) =>
    byModel(
      selectionPolicies.cache_aware!(context),
      new Map([['model-a', selectionPolicies.round_robin!(context)]]),
    ),
  'one of the user’s own': (context) => checkedPolicy('mine', selectionPolicies.least_inflight!(context)),
}

for (const [name, create] of Object.entries(policies)) {
  describe(`a preview of ${name}`, () => {
    test('says what the next choice is, and all choices are as if nobody had asked', () => {
      fc.assert(
        fc.property(fc.array(anyStep, { minLength: 1, maxLength: 40 }), (steps) => {
          assert.deepEqual(run(create, steps, true), run(create, steps, false))
        }),
        { numRuns: 150 },
      )
    })
  })
}

describe('a policy of the user’s own', () => {
  const first: SelectionPolicy = { select: (list) => list[0]! }

  test('tells nothing when it has no preview', () => {
    assert.equal(checkedPolicy('mine', first).preview, undefined)
    const mixed = byModel(checkedPolicy('mine', first), new Map([['m', first]]))
    assert.equal(mixed.preview?.(candidates(2), { model: undefined }), undefined)
  })

  test('tells nothing when its preview fails or names a stranger', () => {
    const request = { model: undefined }
    const stranger = checkedPolicy('mine', {
      ...first,
      preview: <C extends Candidate>() => candidates(9)[8] as unknown as C,
    })
    assert.equal(stranger.preview?.(candidates(2), request), undefined)
    const failing = checkedPolicy('mine', {
      ...first,
      preview() {
        throw new Error('not today')
      },
    })
    assert.equal(failing.preview?.(candidates(2), request), undefined)
  })
})

test('what a copy of the view of the fleet reads, the original does not learn', () => {
  let now = 0
  const facts = { own: 1, foreign: 9, foreignWaiting: 0, cacheTokens: undefined }
  const list = (at: number, queries: number): Facts[] =>
    candidates(2).map((one) => ({
      ...one,
      engine: { ...facts, at, cacheQueries: queries, cacheHits: queries / 2 },
    }))
  const said = ({ foreignShare, missShare }: FleetView) => ({ foreignShare, missShare })
  const view = new FleetView(() => now)
  const alone = new FleetView(() => now)
  for (const one of [view, alone]) one.read(list(0, 1000), 100)
  now = 1000
  const copy = view.copy()
  copy.read(list(1000, 9000), 100)
  assert.notDeepEqual(said(copy), said(view))
  assert.deepEqual(said(view), said(alone))
  now = 1500
  for (const one of [view, alone]) one.read(list(1500, 9000), 100)
  assert.deepEqual(said(view), said(alone))
})
