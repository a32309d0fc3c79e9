/** What one worker has still to compute of this router's prompts, and how fast it is taken for. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { OpenPrompt, OpenPrompts, PrefillSpeed } from '../../../policies/selection/open-prompts.ts'
import { Popularity } from '../../../policies/selection/popularity.ts'

function line() {
  const clock = { now: 1000 }
  const speed = new PrefillSpeed()
  const open = new OpenPrompts(speed, () => clock.now)
  const send = (tokens: number, { seen = true, pace = 1 } = {}) =>
    new OpenPrompt({ open, tokens, expected: undefined, seen, pace })
  const ahead = (share: number) => open.ahead(share, clock.now)
  return { clock, speed, open, send, ahead }
}

const near = (value: number, expected: number) => assert.ok(Math.abs(value - expected) < 1e-6, String(value))

describe('the prompts that wait on a worker', () => {
  test('are before the next one, less what must be done of the first by now', () => {
    const { clock, open, send, ahead } = line()
    assert.equal(ahead(1), 0)
    send(4000)
    send(1000)
    assert.deepEqual([open.waiting, ahead(1)], [2, 5000])
    clock.now += 500
    near(ahead(1), 5000 - 2000)
    near(ahead(0.5), 5000 - 1000)
    clock.now += 60_000
    near(ahead(1), 5000 - 3600)
  })

  test('are fewer with each first token, and the next one begins then', () => {
    const { clock, open, send, ahead } = line()
    const [first, second] = [send(4000), send(1000)]
    clock.now += 1000
    first.firstToken()
    near(ahead(1), 1000)
    clock.now += 125
    near(ahead(1), 500)
    second.end()
    second.end()
    assert.deepEqual([open.waiting, ahead(1)], [0, 0])
  })

  test('begin anew with the first after a pause', () => {
    const { clock, send, ahead } = line()
    send(1000).firstToken()
    clock.now += 60_000
    send(1000)
    near(ahead(1), 1000)
  })

  test('that are given up behind the first leave that one as far as it is', () => {
    const { clock, send, ahead } = line()
    send(4000)
    const second = send(1000)
    clock.now += 500
    second.end()
    near(ahead(1), 2000)
  })

  test('whose first token nobody sees are done after one and a half times their time', () => {
    const { clock, open, send, ahead } = line()
    send(4000, { seen: false })
    send(2000, { seen: false, pace: 2 })
    clock.now += 1499
    assert.ok(ahead(1) > 2000)
    assert.equal(open.waiting, 2)
    open.letPass(clock.now)
    assert.equal(open.waiting, 2)
    clock.now += 1
    near(ahead(1), 2000)
    assert.equal(open.waiting, 2, 'to ask changes nothing')
    open.letPass(clock.now)
    near(ahead(1), 2000)
    assert.equal(open.waiting, 1)
    clock.now += 375
    assert.equal(ahead(1), 0)
  })
})

describe('the speed of a worker', () => {
  test('follows the times to first tokens, a fiftieth with each', () => {
    const { clock, speed, send } = line()
    const prompt = send(8000)
    clock.now += 1000
    prompt.firstToken()
    near(speed.value, 4000 + 4000 / 50)
  })

  test('is measured by the weight of the worker', () => {
    const { clock, speed, send } = line()
    const prompt = send(8000, { pace: 2 })
    clock.now += 1000
    prompt.firstToken()
    near(speed.value, 4000)
  })

  test('is not learnt from a prompt that was not the first, not seen, given up, or too small', () => {
    const { clock, speed, send } = line()
    const [unseen, second, ended] = [send(8000, { seen: false }), send(8000), send(8000)]
    clock.now += 1000
    second.firstToken()
    unseen.firstToken()
    ended.end()
    const small = send(511)
    clock.now += 1000
    small.firstToken()
    const quick = send(8000)
    clock.now += 10
    quick.firstToken()
    assert.equal(speed.value, 4000)
  })

  test('is not believed beyond 50,000 tokens a second', () => {
    const speed = new PrefillSpeed()
    speed.measured(100_000, 11)
    near(speed.value, 4000 + 46_000 / 50)
    speed.measured(512, 11)
    assert.ok(speed.value > 4920)
  })
})

describe('how many of the recent requests have a block', () => {
  test('is never told too little, and hardly ever too much', () => {
    const popularity = new Popularity()
    for (let request = 0; request < 300; request++) {
      popularity.request()
      popularity.add(1)
      if (request % 3 === 0) popularity.add(2)
    }
    assert.deepEqual([popularity.total, popularity.count(1), popularity.count(2)], [300, 300, 100])
    assert.equal(popularity.count(3), 0)
  })

  test('is halved every two thousand requests, with the number of requests', () => {
    const popularity = new Popularity()
    for (let request = 0; request < 1999; request++) {
      popularity.request()
      popularity.add(1)
    }
    assert.deepEqual([popularity.total, popularity.count(1)], [1999, 1999])
    popularity.request()
    assert.deepEqual([popularity.total, popularity.count(1)], [1000, 999])
    for (let request = 0; request < 1999; request++) popularity.request()
    assert.equal(popularity.total, 2999)
    popularity.request()
    assert.deepEqual([popularity.total, popularity.count(1)], [1500, 499])
  })

  test('stops at what 16 bits hold', () => {
    const popularity = new Popularity()
    for (let time = 0; time < 65_600; time++) popularity.add(1)
    assert.equal(popularity.count(1), 65_535)
  })
})
