/** The timing wheel fires every entry once, never early, whatever the delay is to its round of 1024 ms. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TimingWheel, type WheelEntry } from '../../sim/timing-wheel.ts'
import { eventually } from '../support/deadline.ts'

interface Entry extends WheelEntry {
  fired: number[]
}

function wheel() {
  const fire = (entry: Entry, now: number) => void entry.fired.push(now)
  const timers = new TimingWheel<Entry>(fire, () => {})
  const add = (ms: number): Entry => {
    const entry = { due: performance.now() + ms, armed: false, fired: [] }
    timers.add(entry)
    return entry
  }
  return { timers, add }
}

test('entries fire once, not before they are due, in any order of adding', async () => {
  const { add } = wheel()
  const delays = [1500, 3, 1024, 0, 0.4, 700, 1023, 1025, 1024.5, 15, 15, -5]
  const entries = delays.map(add)
  await eventually(() => entries.every(({ fired }) => fired.length > 0), { what: 'all fired' })
  for (const [index, { due, fired, armed }] of entries.entries()) {
    assert.equal(fired.length, 1, `${delays[index]} ms`)
    assert.ok((fired[0] ?? 0) >= due, `${delays[index]} ms`)
    assert.equal(armed, false)
  }
})

test('a cancelled entry does not fire, and others of its time do', async () => {
  const { timers, add } = wheel()
  const [gone, stays] = [add(10), add(10)]
  timers.cancel(gone)
  await eventually(() => stays.fired.length === 1, { what: 'the other fired' })
  assert.deepEqual([gone.fired.length, gone.armed], [0, false])
  timers.cancel(gone)
  const next = add(5)
  await eventually(() => next.fired.length === 1, { what: 'the wheel goes on' })
})

test('an entry that is added again while it fires comes round again', async () => {
  const times: number[] = []
  const timers: TimingWheel<WheelEntry> = new TimingWheel(
    (entry, now) => {
      times.push(now)
      entry.due = now + 2
      if (times.length < 20) timers.add(entry)
    },
    () => {},
  )
  timers.add({ due: performance.now(), armed: false })
  await eventually(() => times.length === 20, { what: '20 rounds' })
  assert.ok(times.every((time, index) => index === 0 || time - (times[index - 1] ?? 0) >= 2))
})

test('after a stall everything that is overdue fires, and nothing else', async () => {
  const { timers, add } = wheel()
  const [early, late] = [add(5), add(3000)]
  // Longer than one round of the wheel.
  const end = performance.now() + 1100
  while (performance.now() < end);
  await eventually(() => early.fired.length === 1, { what: 'the overdue one fired' })
  assert.equal(late.fired.length, 0)
  timers.cancel(late)
})
