/** A policy of the user's own that fails at what it is told: nothing breaks, and its author hears of it. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { checkedPolicy } from '../../../policies/selection/checked.ts'
import type { Booking, SelectionPolicy } from '../../../policies/selection/policy.ts'
import { AppClock } from '../../support/app-clock.ts'
import { candidate } from '../../support/candidates.ts'
import { requestFor, testPool } from '../../support/pool.ts'

const failing = (what: string) => () => {
  throw new Error(`no ${what}`)
}

/** What was warned of, until the test is over. */
function warnings(t: TestContext): string[] {
  const said: string[] = []
  const emit = process.emitWarning
  process.emitWarning = (warning: string | Error) => void said.push(String(warning))
  t.after(() => {
    process.emitWarning = emit
  })
  return said
}

function own(more: Partial<SelectionPolicy>): SelectionPolicy {
  return checkedPolicy('mine', { select: (candidates) => candidates[0]!, ...more })
}

const warning = (what: string): string =>
  `the function ${what} of the selection policy "mine" threw an error: Error: no ${what}`

describe("a policy of the user's own", () => {
  test('that cannot forget a worker does not keep it', (t) => {
    const said = warnings(t)
    const { pool, addHealthy } = testPool({
      clock: new AppClock(),
      policy: own({ forget: failing('forget') }),
    })
    const [first, second] = [addHealthy('http://a:1'), addHealthy('http://b:1')]
    pool.remove(first)
    pool.remove(second)
    assert.deepEqual(pool.workers, [])
    assert.deepEqual(said, [warning('forget')])
  })

  test('whose bookings fail does not break a request', (t) => {
    const said = warnings(t)
    const booking: Booking = { expected: 0.5, firstToken: failing('firstToken'), end: failing('end') }
    const { pool, reports, addHealthy } = testPool({
      clock: new AppClock(),
      policy: own({ book: () => booking }),
    })
    const worker = addHealthy('http://a:1')
    for (let request = 0; request < 2; request++) {
      const lease = pool.acquire(requestFor())
      lease?.showLife()
      lease?.settle('success')
    }
    assert.deepEqual([worker.inFlight, reports.endedInAll], [0, 2])
    assert.deepEqual(said, [warning('firstToken'), warning('end')])
  })

  test('is warned of once for each of its functions', async (t) => {
    const said = warnings(t)
    const policy = own({
      book: failing('book'),
      counted: failing('counted'),
      finish: async () => failing('finish')(),
    })
    for (let round = 0; round < 2; round++) {
      policy.book?.(candidate(0), { model: undefined }).end()
      policy.counted?.('m', 1, 1)
      policy.finish?.('s')
    }
    await Promise.resolve()
    assert.deepEqual(said, [warning('book'), warning('counted'), warning('finish')])
  })

  test('is given what it reads, and has no more functions than it was written with', () => {
    assert.deepEqual(own({ reads: { session: true } }).reads, { session: true })
    assert.deepEqual(Object.keys(own({})).toSorted(), ['select', 'why'])
    assert.equal(own({}).why, 'custom')
    assert.equal(own({ why: 'load' }).why, 'load')
  })

  test('that chooses nobody is told what it returned instead', () => {
    for (const [returned, word] of [
      [undefined, 'nothing'],
      [null, 'null'],
      [Promise.resolve(), 'a promise'],
      [candidate(7), 'something else'],
    ] as const) {
      const policy = own({ select: () => returned as never })
      assert.throws(
        () => policy.select([candidate(0)], { model: undefined }),
        new TypeError(`the selection policy "mine" returned ${word}; it must return one of its candidates`),
      )
    }
  })

  test('books as it wants to where nothing fails', () => {
    const told: string[] = []
    const policy = own({
      book: ({ id }) => ({
        expected: 0.25,
        firstToken: () => told.push(`first ${id}`),
        end: () => told.push(`end ${id}`),
      }),
    })
    const booking = policy.book?.(candidate(3), { model: undefined })
    booking?.firstToken()
    booking?.end()
    assert.equal(booking?.expected, 0.25)
    assert.deepEqual(told, ['first worker-3', 'end worker-3'])
  })
})

test('a policy that fails unchecked does not keep a worker that is removed', () => {
  const { pool, addHealthy } = testPool({
    clock: new AppClock(),
    policy: { select: (candidates) => candidates[0]!, forget: failing('forget') },
  })
  const worker = addHealthy('http://a:1')
  assert.throws(() => pool.remove(worker), /no forget/)
  assert.deepEqual(pool.workers, [])
})
