/** The order in which a router stops, by a clock that is turned by hand. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Lifecycle } from '../../../app/operations/lifecycle.ts'
import { Accounting } from '../../../app/telemetry/accounting.ts'
import { silentLog } from '../../../app/telemetry/log.ts'
import { createMetrics } from '../../../app/telemetry/metrics.ts'
import { AppClock, settled } from '../../support/app-clock.ts'

function setUp({ settleMs = 5000, graceMs = 180_000 } = {}) {
  const clock = new AppClock()
  const accounting = new Accounting({ metrics: createMetrics(), log: silentLog(), clock })
  const lifecycle = new Lifecycle({ accounting, clock, settleMs, graceMs })
  const history: string[] = []
  return {
    clock,
    accounting,
    lifecycle,
    history,
    /** A request that ends only when it is told why it must. */
    open(name: string) {
      const record = accounting.open('POST', '/v1/completions')
      record.stop.waiting = (reason) => {
        history.push(`${name} stopped: ${reason}`)
        record.end(reason)
      }
      return record
    },
    drain(settle?: boolean): Promise<number> {
      const drained = lifecycle.drain(() => history.push(`stopped accepting at ${clock.now()}`), settle)
      void drained.then(() => history.push(`drained at ${clock.now()}`))
      return drained
    },
  }
}

test('before it drains, a router is ready and refuses nothing', () => {
  const { lifecycle } = setUp()
  assert.deepEqual([lifecycle.draining, lifecycle.refusing], [false, false])
})

describe('draining', () => {
  test('is not ready at once, and takes requests until the settle time is over', async () => {
    const { clock, lifecycle, history, drain, open } = setUp()
    const running = open('running')
    drain()
    assert.deepEqual([lifecycle.draining, lifecycle.refusing], [true, false])
    await clock.pass(4999)
    assert.deepEqual([lifecycle.draining, lifecycle.refusing], [true, false])
    assert.deepEqual(history, [])
    await clock.pass(1)
    assert.deepEqual(history, ['stopped accepting at 5000'])
    assert.equal(lifecycle.refusing, false, 'what was accepted at the last moment is still to be read')
    await clock.pass(100, 25)
    assert.deepEqual([lifecycle.draining, lifecycle.refusing], [true, true])
    running.end('completed')
    await settled()
    assert.deepEqual(history.slice(1), ['drained at 5100'])
  })

  test('waits through the settle time even when nothing runs', async () => {
    const { clock, history, drain } = setUp()
    drain()
    await clock.pass(4999)
    assert.deepEqual(history, [])
    await clock.pass(1)
    await clock.pass(100, 25)
    assert.deepEqual(history, ['stopped accepting at 5000', 'drained at 5100'])
    assert.equal(clock.pending, 0, 'no timer is left')
  })

  test('ends when the last request has, those that came while it settled included', async () => {
    const { clock, history, drain, open } = setUp()
    const early = open('early')
    drain()
    await clock.pass(3000)
    const late = open('late')
    await clock.pass(60_000, 1000)
    early.end('completed')
    await settled()
    assert.deepEqual(history, ['stopped accepting at 5000'])
    await clock.pass(1000)
    late.end('completed')
    await settled()
    assert.deepEqual(history, ['stopped accepting at 5000', 'drained at 64000'])
    assert.equal(clock.pending, 0)
  })

  test('ends what still runs when the grace time, counted from the order, is over', async () => {
    const { clock, history, drain, open } = setUp()
    open('one')
    open('other')
    drain()
    await clock.pass(179_999, 1000)
    assert.deepEqual(history, ['stopped accepting at 5000'])
    await clock.pass(1)
    assert.deepEqual(history.slice(1), [
      'one stopped: draining',
      'other stopped: draining',
      'drained at 180000',
    ])
    assert.equal(clock.pending, 0)
  })

  test('gives last words half a second, and waits no longer', async () => {
    const { clock, accounting, history, drain } = setUp()
    const stuck = accounting.open('POST', '/')
    drain()
    await clock.pass(180_000, 1000)
    assert.equal(stuck.stop.reason, 'draining')
    await clock.pass(499)
    assert.deepEqual(history, ['stopped accepting at 5000'])
    await clock.pass(1)
    assert.deepEqual(history.slice(1), ['drained at 180500'])
  })

  test('asked for twice is done once, and both wait for it', async () => {
    const { clock, lifecycle, history, drain } = setUp()
    const first = drain()
    const second = lifecycle.drain(() => history.push('again'))
    assert.equal(first, second)
    await clock.pass(5100, 25)
    await second
    assert.deepEqual(history, ['stopped accepting at 5000', 'drained at 5100'])
  })
})

describe('without a settle time', () => {
  for (const [what, options, settle] of [
    ['by configuration', { settleMs: 0 }, true],
    ['by order', {}, false],
  ] as const) {
    test(`(${what}) a router refuses at once and still lets requests finish`, async () => {
      const { clock, lifecycle, history, drain, open } = setUp(options)
      const running = open('running')
      drain(settle)
      await settled()
      assert.ok(lifecycle.refusing)
      await clock.pass(100_000)
      running.end('completed')
      await settled()
      assert.deepEqual(history, ['stopped accepting at 0', 'drained at 100000'])
    })

    test(`(${what}) the grace time is as long as ever`, async () => {
      const { clock, history, drain, open } = setUp(options)
      open('one')
      drain(settle)
      await settled()
      await clock.pass(180_000, 1000)
      assert.deepEqual(history.slice(1), ['one stopped: draining', 'drained at 180000'])
    })
  }
})

describe('a grace time', () => {
  test('shorter than the settle time cuts it short', async () => {
    const { clock, history, drain, open } = setUp({ graceMs: 2000 })
    open('one')
    drain()
    await clock.pass(1999)
    assert.deepEqual(history, [])
    await clock.pass(1)
    assert.deepEqual(history.slice(0, 1), ['stopped accepting at 2000'])
    await clock.pass(1)
    assert.deepEqual(history.slice(1, 2), ['one stopped: draining'])
  })

  test('of nothing stops everything now', async () => {
    const { clock, history, drain, open } = setUp({ graceMs: 0 })
    open('one')
    drain()
    await settled()
    await clock.pass(1)
    assert.deepEqual(history.slice(0, 2), ['stopped accepting at 0', 'one stopped: draining'])
  })
})
