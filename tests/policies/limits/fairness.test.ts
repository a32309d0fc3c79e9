/** Who gets how much of a router at its limit, and when: tenants, classes, and those that wait too long. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Standing } from '../../../http/priority.ts'
import { QueueLoad, type Turn } from '../../support/queue-load.ts'

const timeout = 30_000

function of(tenant: string, priority: Standing['priority'] = 'normal', weight = 1): Standing {
  return { tenant, priority, weight }
}

function assertShares(load: QueueLoad, expected: Readonly<Record<string, number>>, within = 0.1): void {
  const shares = load.shares(200)
  for (const [tenant, share] of Object.entries(expected)) {
    const got = shares[tenant] ?? 0
    assert.ok(Math.abs(got - share) <= share * within, `${tenant} got ${got}, its fair share is ${share}`)
  }
}

/** Six at once for 10 ms each: 600 turns a second. */
const machine = { maxConcurrent: 6, queueSize: 60 }

describe('three tenants that want ten times, once and once as much as each other', () => {
  for (const [what, weights, expected] of [
    ['get the same', [1, 1, 1], { a: 1 / 3, b: 1 / 3, c: 1 / 3 }],
    ['get what their weights say', [1, 2, 3], { a: 1 / 6, b: 2 / 6, c: 3 / 6 }],
  ] as const) {
    const tenants = ['a', 'b', 'c'].map((name, index) => of(name, 'normal', weights[index]))

    test(`${what}, when their clients each send one request after the other`, { timeout }, async () => {
      const load = new QueueLoad(10, { ...machine, queueSize: 200 })
      for (const [tenant, clients] of [100, 10, 10].entries())
        for (let client = 0; client < clients; client++) load.client(tenants[tenant]!)
      await load.run(3000)
      assertShares(load, expected)
    })

    test(`${what}, when requests come whatever becomes of those before`, { timeout }, async () => {
      const load = new QueueLoad(10, machine)
      await load.run(3000, (now) => {
        for (let request = 0; request < 10; request++) load.arrive(tenants[0]!)
        if (now % 2 === 0) for (const tenant of tenants.slice(1)) load.arrive(tenant)
      })
      assertShares(load, expected)
    })
  }

  test('get all that they want, where that is less than their share; the rest is for who wants more', {
    timeout,
  }, async () => {
    const load = new QueueLoad(10, machine)
    await load.run(3000, (now) => {
      load.arrive(of('a'))
      if (now % 10 === 0) for (const tenant of ['b', 'c']) load.arrive(of(tenant))
    })
    assertShares(load, { a: 4 / 6, b: 1 / 6, c: 1 / 6 })
    assert.ok(load.refused.every(({ standing }) => standing.tenant === 'a'))
    const waits = load.turns.filter(({ standing }) => standing.tenant !== 'a').map(({ waitedMs }) => waitedMs)
    assert.ok(Math.max(...waits) <= 10, 'who wants little hardly waits')
  })

  test('are served as much as the machine can serve, all the time', { timeout }, async () => {
    const load = new QueueLoad(10, machine)
    await load.run(1000, () => {
      for (const tenant of ['a', 'b', 'c']) load.arrive(of(tenant, tenant === 'a' ? 'high' : 'low'))
    })
    assert.ok(load.turns.length >= 590, `${load.turns.length} turns`)
  })
})

describe('requests without a tenant', () => {
  test('are one tenant beside others', { timeout }, async () => {
    const load = new QueueLoad(10, machine)
    const nobody = { tenant: undefined, priority: 'normal', weight: 1 } as const
    await load.run(3000, () => {
      for (const standing of [nobody, nobody, of('a')]) load.arrive(standing)
    })
    assertShares(load, { nobody: 1 / 2, a: 1 / 2 })
  })
})

/** For each request of the class, how many turns others than that class had while it waited, and how many it had. */
function turnsOf(load: QueueLoad, priority: Standing['priority']): { own: number; others: number }[] {
  return load.turns.flatMap((turn: Turn, index) => {
    if (turn.standing.priority !== priority) return []
    const meanwhile = load.turns.slice(turn.turnsBefore, index)
    const others = meanwhile.filter(({ standing }) => standing.priority !== priority).length
    return [{ own: meanwhile.length - others + 1, others }]
  })
}

describe('a burst of a low class', () => {
  for (const [what, everyMs] of [
    ['of which there are more than can be served', 1],
    ['of which there are as many as can be served', 10 / 6],
    ['of which there are few', 5],
  ] as const) {
    test(`costs the high class, ${what}, no more than 5% of its turns`, { timeout }, async () => {
      const options = { ...machine, agingMs: 200, queueTimeoutMs: 5000 }
      const load = new QueueLoad(10, { ...options, queueSize: 400 })
      let due = 0
      await load.run(3000, (now) => {
        if (now % 100 === 0) for (let request = 0; request < 150; request++) load.arrive(of('batch', 'low'))
        for (; now > 0 && due <= now; due += everyMs) load.arrive(of('chat', 'high'))
      })
      const waits = turnsOf(load, 'high')
      const sum = (of: 'own' | 'others') => waits.reduce((all, one) => all + one[of], 0)
      assert.ok(waits.length > 500 && sum('others') > 0)
      assert.ok(sum('others') <= 0.05 * sum('own'), `${sum('others')} turns of others to ${sum('own')}`)
      for (const { own, others } of waits) assert.ok(others <= Math.ceil((own + others) / 25))
      const low = load.turns.filter(({ standing }) => standing.priority === 'low').length
      assert.ok(low >= 0.035 * load.turns.length, `the low class still got ${low} of ${load.turns.length}`)
    })
  }
})

describe('slots that are kept for the high class', () => {
  const kept = { ...machine, keptForHigh: 2, queueSize: 400 }

  test('are free for it at once, whatever burst of others there is', { timeout }, async () => {
    const load = new QueueLoad(10, { ...kept, agingMs: 50 })
    await load.run(3000, (now) => {
      if (now % 100 === 0)
        for (const priority of ['low', 'normal'] as const)
          for (let request = 0; request < 60; request++) load.arrive(of('batch', priority))
      // Never more than two at once.
      if (now % 6 === 0) load.arrive(of('chat', 'high'))
    })
    const high = load.turns.filter(({ standing }) => standing.priority === 'high')
    assert.equal(high.length, 500)
    assert.equal(Math.max(...high.map(({ waitedMs }) => waitedMs)), 0)
    assert.ok(load.turns.length - high.length >= 1100, 'others have all slots but these')
  })

  test('beyond these, it shares the others as without', { timeout }, async () => {
    const load = new QueueLoad(10, { ...kept, agingMs: 200, queueTimeoutMs: 5000 })
    await load.run(3000, (now) => {
      load.arrive(of('chat', 'high'))
      if (now % 2 === 0) load.arrive(of('batch', 'low'))
    })
    const low = load.turns.filter(({ standing }) => standing.priority === 'low').length
    assert.ok(low >= 0.035 * load.turns.length, `the low class still got ${low} of ${load.turns.length}`)
    assert.ok(load.turns.length >= 1790, `${load.turns.length} turns`)
  })

  test('are told: a lower class waits, the high one does not', { timeout }, async () => {
    const load = new QueueLoad(10, { maxConcurrent: 3, keptForHigh: 2, queueSize: 0 })
    load.arrive(of('batch', 'low'))
    load.arrive(of('batch', 'normal'))
    await load.run(1)
    assert.match(
      load.refused[0]!.error.message,
      /its limit of requests in flight of class normal and low, and/,
    )
    assert.equal(load.queue.outlook(of('chat', 'high')), 'admitted')
  })
})

describe('who has waited too long', () => {
  test('has its turn after 25 others at most for each that has waited longer, whoever else comes', {
    timeout,
  }, async () => {
    const agingMs = 100
    const load = new QueueLoad(10, { ...machine, agingMs, queueTimeoutMs: 60_000 })
    // High and normal alone are more than can be served.
    await load.run(4000, (now) => {
      for (const tenant of ['a', 'b']) load.arrive(of(tenant, 'high'))
      if (now % 40 === 0) load.arrive(of('c', 'normal'))
      if (now % 60 === 0) load.arrive(of('d', 'low'))
    })
    const late = load.turns.flatMap((turn, index) =>
      turn.standing.priority === 'high' ? [] : [{ ...turn, index }],
    )
    assert.ok(late.length > 50, `${late.length} had their turn`)
    for (const { at, waitedMs, index } of late) {
      if (waitedMs < agingMs) continue
      const isBefore = (turn: Turn) => turn.at + turn.waitedMs <= at + agingMs
      const turnsOnceOverdue = index - load.turns.filter(isBefore).length
      const older = late.filter(
        (other) => other.index !== index && other.at <= at && other.at + other.waitedMs >= at + agingMs,
      ).length
      // Ties within one millisecond: as many as there are slots.
      assert.ok(turnsOnceOverdue <= 25 * (older + 1) + 6, `${turnsOnceOverdue} turns, ${older} older`)
    }
  })

  test('waits for its class as long as it is not overdue', { timeout }, async () => {
    const load = new QueueLoad(10, { ...machine, agingMs: 1000, queueTimeoutMs: 60_000 })
    await load.run(990, () => {
      for (const tenant of ['a', 'b']) load.arrive(of(tenant, 'high'))
      if (load.now === 100) load.arrive(of('c', 'low'))
    })
    assert.ok(load.turns.every(({ standing }) => standing.priority === 'high'))
  })
})

describe('a full queue', () => {
  /** Arrive at once where one runs and so many may wait; in the end it is told who was turned away, in that order. */
  async function turnedAway(queueSize: number, arrivals: readonly Standing[]): Promise<QueueLoad> {
    const load = new QueueLoad(10, { maxConcurrent: 1, queueSize })
    load.arrive(of('running'))
    for (const standing of arrivals) {
      load.arrive(standing)
      // Nobody has his turn meanwhile.
      await load.run(0)
      for (let turn = 0; turn < 5; turn++) await Promise.resolve()
    }
    return load
  }

  test('turns the newest of the lowest class away for one of a higher class', async () => {
    const load = await turnedAway(3, [
      ...[of('first low', 'low'), of('second low', 'low'), of('normal', 'normal')],
      ...[of('late low', 'low'), of('high', 'high'), of('more', 'normal'), of('late normal', 'normal')],
    ])
    assert.deepEqual(
      load.refused.map(({ standing, error }) => [standing.tenant, error.code, error.retryAfter]),
      ['late low', 'second low', 'first low', 'late normal'].map((name) => [name, 'queue_full', 1]),
    )
    const messages = load.refused.map(({ error }) => error.message)
    assert.match(messages[0]!, /its queue is full/)
    assert.match(messages[1]!, /its queue went to one of a higher class/)
    await load.run(50)
    assert.deepEqual(
      load.turns.map(({ standing }) => standing.tenant),
      ['running', 'high', 'normal', 'more'],
    )
  })

  test('is open to a tenant of which fewer wait: whoever takes up most places gives up its newest', async () => {
    const heavy = of('heavy', 'normal', 3)
    const load = await turnedAway(8, [
      ...Array.from({ length: 9 }, () => of('greedy')),
      ...[of('b'), heavy, heavy, heavy, of('greedy'), of('b'), of('b'), heavy],
    ])
    const expected = [
      'greedy',
      ...Array.from({ length: 4 }, () => 'greedy'),
      'greedy',
      'greedy',
      'b',
      'greedy',
    ]
    assert.deepEqual(
      load.refused.map(({ standing }) => standing.tenant),
      expected,
    )
  })

  test('keeps one place in 25 for each class, whichever it is full of', async () => {
    const count = (load: QueueLoad, priority: Standing['priority']) =>
      load.turns.slice(1).filter(({ standing }) => standing.priority === priority).length
    for (const [many, few] of [
      ['high', 'low'],
      ['low', 'high'],
      ['normal', 'low'],
    ] as const) {
      const crowd = Array.from({ length: 60 }, (_, index) => of(`t${index % 7}`, many))
      const load = await turnedAway(50, [
        ...crowd,
        ...crowd.slice(0, 5).map(({ tenant }) => of(tenant!, few)),
      ])
      await load.run(600)
      const expected = few === 'high' ? 5 : 2
      assert.deepEqual([count(load, many), count(load, few)].toSorted(), [expected, 50 - expected].toSorted())
    }
  })
})

describe('Retry-After of a full queue', () => {
  test('is how long those that wait take, by the pace of their turns', { timeout }, async () => {
    // Two at once for 400 ms each: 5 turns a second, 40 in line are 8 s.
    const load = new QueueLoad(400, { maxConcurrent: 2, queueSize: 40 })
    await load.run(20_000, (now) => {
      if (now % 100 === 0) load.arrive(of('a'))
    })
    const told = load.refused.slice(-10).map(({ error }) => error.retryAfter ?? 0)
    const took = load.turns.at(-1)?.waitedMs ?? 0
    for (const seconds of told) {
      assert.ok(Math.abs(seconds * 1000 - took) <= 0.2 * took + 1000, `told ${seconds} s, it took ${took} ms`)
    }
  })

  test('is the time of its class: longer for one that is served after another', { timeout }, async () => {
    const load = new QueueLoad(400, { maxConcurrent: 2, queueSize: 40, agingMs: 60_000 })
    await load.run(12_000, (now) => {
      // High has four turns of five, low the fifth; the queue is full of low ones.
      if (now % 250 === 0) load.arrive(of('chat', 'high'))
      if (now % 100 === 0) load.arrive(of('batch', 'low'))
    })
    const told = load.refused.at(-1)
    assert.equal(told?.standing.tenant, 'batch')
    const seconds = told?.error.retryAfter ?? 0
    assert.ok(seconds >= 30 && seconds <= 50, `40 in line, one turn a second: ${seconds} s`)
  })

  test('is no longer than any of those that wait may wait', { timeout }, async () => {
    const load = new QueueLoad(5000, { maxConcurrent: 1, queueSize: 20, queueTimeoutMs: 12_000 })
    const nobody = { tenant: undefined, priority: 'normal', weight: 1 } as const
    await load.run(15_000, (now) => {
      if (now % 200 === 0) load.arrive(nobody)
    })
    const told = load.refused.filter(({ error }) => error.code === 'queue_full').at(-1)
    assert.equal(told?.error.retryAfter, 12)
  })
})
