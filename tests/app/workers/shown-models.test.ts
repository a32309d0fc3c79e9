/** What a worker that does not list its models has shown of them by its answers. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ShownModels } from '../../../app/workers/shown-models.ts'

test('an answer is news once, and the last one counts', () => {
  const shown = new ShownModels()
  assert.equal(shown.learn('a', true), true)
  assert.equal(shown.learn('a', true), false)
  assert.deepEqual([...shown.names], ['a'])
  assert.equal(shown.learn('a', false), true)
  assert.deepEqual([[...shown.names], shown.lacks('a')], [[], true])
  assert.equal(shown.learn('a', true), true)
  assert.equal(shown.lacks('a'), false)
})

test('what was lacking is forgotten, which is news where there was any', () => {
  const shown = new ShownModels()
  assert.equal(shown.forgetLacking(), false)
  shown.learn('a', false)
  assert.equal(shown.forgetLacking(), true)
  assert.equal(shown.lacks('a'), false)
})

test('no more than a hundred names are kept of a worker that takes any', () => {
  const shown = new ShownModels()
  for (let at = 0; at < 100; at++) assert.equal(shown.learn(`m${at}`, true), true)
  assert.equal(shown.learn('one too many', true), false)
  assert.equal(shown.names.size, 100)
  shown.learn('lacking', false)
  for (let at = 0; at < 99; at++) shown.learn(`x${at}`, false)
  assert.equal(shown.learn('m7', false), true, 'it is known no more, although it is not noted as lacking')
  assert.equal(shown.names.has('m7'), false)
})
