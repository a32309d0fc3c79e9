import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { RecentMinute } from '../../../app/workers/recent-minute.ts'

function minute() {
  const clock = { now: 1_000_000 }
  return { clock, recent: new RecentMinute(() => clock.now) }
}

describe('the last minute of a worker', () => {
  test('begins empty', () => {
    const { recent } = minute()
    assert.deepEqual(recent.view(), {
      seconds: 60,
      attempts: 0,
      retries: 0,
      failures: 0,
      refusals: 0,
      completion_tokens: 0,
      first_token_ms: null,
    })
  })

  test('forgets what is older, and nothing that is younger than fifty seconds', () => {
    const event = fc.record({
      afterMs: fc.nat(20_000),
      count: fc.constantFrom('attempts', 'failures', 'refusals'),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), fc.nat(90_000), (events, restMs) => {
        const { clock, recent } = minute()
        const times: { at: number; count: string }[] = []
        for (const { afterMs, count } of events) {
          clock.now += afterMs
          recent.add(count)
          times.push({ at: clock.now, count })
        }
        clock.now += restMs
        const view = recent.view()
        for (const name of ['attempts', 'failures', 'refusals'] as const) {
          const own = times.filter(({ count }) => count === name)
          const within = (ms: number) => own.filter(({ at }) => clock.now - at < ms).length
          assert.ok(view[name] >= within(50_000) && view[name] <= within(60_000), `${name} ${view[name]}`)
        }
      }),
    )
  })

  test('knows times to the first token to a quarter', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 2, max: 200_000 }), { minLength: 1, maxLength: 300 }),
        (times) => {
          const { recent } = minute()
          for (const ms of times) recent.firstToken(ms)
          const sorted = times.toSorted((a, b) => a - b)
          const found = recent.view().first_token_ms
          for (const [share, got] of [
            [0.5, found?.p50 ?? 0],
            [0.95, found?.p95 ?? 0],
          ] as const) {
            const true_ = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]!
            assert.ok(got > true_ * 0.75 && got < true_ * 1.25, `${got} instead of ${true_}`)
          }
        },
      ),
    )
  })

  test('takes times beyond all bounds', () => {
    const { recent } = minute()
    recent.firstToken(1e9)
    assert.ok((recent.view().first_token_ms?.p50 ?? 0) > 200_000)
  })
})

test('an event is in the last minute for fifty seconds after its slot of ten, and in no later one', () => {
  const { clock, recent } = minute()
  recent.add('retries')
  recent.firstToken(100)
  clock.now += 59_999
  assert.equal(recent.view().retries, 1)
  clock.now += 1
  const { retries, first_token_ms } = recent.view()
  assert.deepEqual([retries, first_token_ms], [0, null])
  recent.add('attempts')
  assert.deepEqual([recent.view().attempts, recent.view().retries], [1, 0])
  clock.now += 60_000
  recent.firstToken(3)
  assert.deepEqual([recent.view().attempts, recent.view().first_token_ms?.p95], [0, 2.8])
})
