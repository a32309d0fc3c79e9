/** What operators have said to one process, in the registry of another. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { registering } from '../../support/discovering.ts'

const a = { url: 'http://a:8000' }
const b = { url: 'http://b:8000' }
const c = 'http://c:8000'

/** One process in which an operator has added, removed and drained. */
function spoken() {
  const one = registering()
  one.registry.assign('static', [a])
  one.registry.assign('file', [b])
  one.registry.add(c)
  one.registry.remove(one.registry.find(b.url)!)
  one.registry.drain(one.registry.find(a.url)!, true)
  return one
}

const state = ({ pool }: ReturnType<typeof registering>) =>
  pool.workers.map(({ url, draining }) => `${url}${draining ? ' draining' : ''}`).sort()

const expected = ['http://a:8000 draining', 'http://c:8000']

describe('the word of operators', () => {
  test('survives JSON, and makes another registry the same, whoever names the workers first', () => {
    const word = JSON.parse(JSON.stringify(spoken().registry.operatorChanges()))
    const early = registering()
    early.registry.applyOperatorChanges(word)
    early.registry.assign('static', [a])
    early.registry.assign('file', [b])
    assert.deepEqual(state(early), expected)
    const late = registering()
    late.registry.assign('static', [a])
    late.registry.assign('file', [b])
    late.registry.applyOperatorChanges(word)
    assert.deepEqual(state(late), expected)
    assert.deepEqual(late.registry.operatorChanges(), word)
  })

  test('is taken back by a later one', () => {
    const one = spoken()
    const other = registering()
    other.registry.assign('static', [a])
    other.registry.assign('file', [b])
    other.registry.applyOperatorChanges(one.registry.operatorChanges())
    one.registry.remove(one.registry.find(c)!)
    one.registry.add(b.url)
    one.registry.drain(one.registry.find(a.url)!, false)
    other.registry.applyOperatorChanges(one.registry.operatorChanges())
    assert.deepEqual(state(other), ['http://a:8000', 'http://b:8000'])
  })

  test('holds for a worker until its source drops it, or finds another at its address', () => {
    const one = registering()
    one.registry.assign('kubernetes', [{ ...a, identity: 'pod-1' }])
    one.registry.remove(one.registry.find(a.url)!)
    const other = registering()
    other.registry.applyOperatorChanges(one.registry.operatorChanges())
    other.registry.assign('kubernetes', [{ ...a, identity: 'pod-1' }])
    assert.deepEqual(state(other), [])
    other.registry.assign('kubernetes', [{ ...a, identity: 'pod-2' }])
    assert.deepEqual(state(other), ['http://a:8000'])
    const ahead = registering()
    ahead.registry.assign('kubernetes', [{ ...a, identity: 'pod-2' }])
    ahead.registry.applyOperatorChanges(one.registry.operatorChanges())
    assert.deepEqual(state(ahead), ['http://a:8000'], 'another pod than the one that was taken out')
  })

  test('leaves a worker that both have as it is', () => {
    const one = spoken()
    const other = registering()
    other.registry.assign('static', [a])
    const [before] = other.pool.workers
    other.registry.applyOperatorChanges(one.registry.operatorChanges())
    assert.equal(other.registry.find(a.url), before)
  })

  test('drains a worker that comes later once, and not when it comes back after that was taken back', () => {
    const one = registering()
    one.registry.assign('file', [a])
    one.registry.drain(one.registry.find(a.url)!, true)
    const other = registering()
    other.registry.applyOperatorChanges(one.registry.operatorChanges())
    other.registry.assign('file', [a])
    assert.deepEqual(state(other), ['http://a:8000 draining'])
    other.registry.drain(other.registry.find(a.url)!, false)
    other.registry.assign('file', [])
    other.registry.assign('file', [a])
    assert.deepEqual(state(other), ['http://a:8000'])
  })

  test('takes back what was taken out here and is not any more', () => {
    const one = registering()
    one.registry.assign('file', [a, b])
    const other = registering()
    other.registry.assign('file', [a, b])
    other.registry.remove(other.registry.find(a.url)!)
    other.registry.add(c)
    other.registry.applyOperatorChanges(one.registry.operatorChanges())
    assert.deepEqual(state(other), ['http://a:8000', 'http://b:8000'])
  })
})
