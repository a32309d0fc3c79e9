/** The time of a worker, divided among the requests on it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TimeShare } from '../../../app/workers/time-share.ts'

/** One after the other: time passes, then a request comes, or the nth of those that are there goes. */
const steps = fc.array(
  fc.record({ ms: fc.integer({ min: 0, max: 1000 }), goes: fc.option(fc.nat(), { nil: undefined }) }),
  { maxLength: 60 },
)

test('each moment goes in equal parts to those that are there, and nothing is left over', () => {
  fc.assert(
    fc.property(steps, (taken) => {
      const share = new TimeShare()
      const there: { entered: number; expected: number }[] = []
      let now = 1000
      let busyMs = 0
      let given = 0
      const leave = (index: number) => {
        const [one] = there.splice(index, 1)
        const got = share.leave(one!.entered, now)
        assert.ok(Math.abs(got - one!.expected) < 1e-6, `${got} ms, ${one!.expected} expected`)
        given += got
      }
      for (const { ms, goes } of taken) {
        now += ms
        if (there.length > 0) busyMs += ms
        for (const one of there) one.expected += ms / there.length
        if (goes === undefined || there.length === 0) there.push({ entered: share.enter(now), expected: 0 })
        else leave(goes % there.length)
      }
      while (there.length > 0) leave(0)
      assert.ok(Math.abs(given - busyMs) < 1e-6, `${given} ms given, ${busyMs} ms busy`)
    }),
  )
})
