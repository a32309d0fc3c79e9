/** Policies of their own for some models, and one for all others. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { byModel } from '../../../policies/selection/by-model.ts'
import type { SelectionPolicy } from '../../../policies/selection/policy.ts'
import { candidates } from '../../support/candidates.ts'

function noting(name: string, place: number, told: string[] = []): SelectionPolicy {
  return {
    why: place === 0 ? 'load' : 'affinity',
    select: (list) => list[place]!,
    book: () => ({
      firstToken: () => told.push(`${name} first token`),
      end: () => told.push(`${name} end`),
    }),
    counted: (model) => told.push(`${name} counted ${model}`),
    forget: (id) => told.push(`${name} forget ${id}`),
    finish: (session) => told.push(`${name} finish ${session}`),
  }
}

describe('a policy for some models', () => {
  test('chooses for its model, and the usual one for all others', () => {
    const list = candidates(2)
    const policy = byModel(noting('usual', 0), new Map([['big', noting('own', 1)]]))
    const chosen = (model?: string) => [policy.select(list, { model }), policy.why]
    assert.deepEqual(chosen('big'), [list[1], 'affinity'])
    assert.deepEqual(chosen('small'), [list[0], 'load'])
    assert.deepEqual(chosen('big'), [list[1], 'affinity'])
    assert.deepEqual(chosen(undefined), [list[0], 'load'])
  })

  test('hears what concerns its model, and what concerns everybody', () => {
    const told: string[] = []
    const policy = byModel(noting('usual', 0, told), new Map([['big', noting('own', 1, told)]]))
    const [worker] = candidates(1)
    const booking = policy.book?.(worker!, { model: 'big' })
    booking?.firstToken()
    booking?.end()
    policy.counted?.('big', 100, 25)
    policy.counted?.('small', 100, 25)
    policy.forget?.('w')
    policy.finish?.('s')
    assert.deepEqual(told, [
      ...['own first token', 'own end', 'own counted big', 'usual counted small'],
      ...['usual forget w', 'own forget w', 'usual finish s', 'own finish s'],
    ])
  })

  test('is given what any of them reads', () => {
    const plain: SelectionPolicy = { select: (list) => list[0]! }
    const reading = (reads: SelectionPolicy['reads']): SelectionPolicy => ({ ...plain, reads: reads! })
    for (const [usual, own, expected] of [
      [{}, {}, { prompt: false, session: false, engine: false }],
      [{ session: true }, { prompt: true }, { prompt: true, session: true, engine: false }],
      [{}, { engine: true }, { prompt: false, session: false, engine: true }],
    ] as const)
      assert.deepEqual(byModel(reading(usual), new Map([['big', reading(own)]])).reads, expected)
  })

  test('need not keep books, nor say why', () => {
    const plain: SelectionPolicy = { select: (list) => list[0]! }
    const policy = byModel(plain, new Map([['big', plain]]))
    const list = candidates(1)
    policy.select(list, { model: 'big' })
    assert.equal(policy.why, 'custom')
    policy.book?.(list[0]!, { model: 'big' }).end()
    assert.equal(byModel(plain, new Map()), plain, 'where no model has one of its own')
  })
})
