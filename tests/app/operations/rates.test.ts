import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pointOf, type Reading } from '../../../app/operations/rates.ts'
import type { Figures } from '../../../app/telemetry/figures.ts'

const none: Figures = {
  requests: {},
  errors: {},
  retries: 0,
  tokens: {},
  queued: 0,
  first_token: { bounds: [], counts: [] },
}

function reading(now: number, figures: Partial<Figures> = {}, in_flight = 0): Reading {
  return { now, at: new Date(now).toISOString(), in_flight, figures: { ...none, ...figures } }
}

test('rates are differences by time, over all statuses, codes and kinds', () => {
  const before = reading(0, {
    requests: { 200: 10 },
    errors: { draining: 1 },
    retries: 3,
    tokens: { completion: 50 },
  })
  const after = reading(
    10_000,
    {
      requests: { 200: 60, 404: 50 },
      errors: { draining: 1, model_not_found: 50 },
      retries: 8,
      tokens: { completion: 1050, prompt: 20, cached: 7 },
      queued: 4,
    },
    9,
  )
  assert.deepEqual(pointOf(after, before), {
    at: after.at,
    requests: 10,
    errors: 5,
    retries: 0.5,
    prompt_tokens: 2,
    completion_tokens: 100,
    in_flight: 9,
    queued: 4,
    first_token_ms: null,
  })
})

test('a total that goes back, as with a process that has ended by itself, is no negative rate', () => {
  const point = pointOf(reading(1000, { retries: 5 }), reading(0, { retries: 9 }))
  assert.equal(point.retries, 0)
})

test('percentiles are those of the streams in between, spread evenly within their bucket', () => {
  const bounds = [0.1, 0.2, 0.4]
  const before = reading(0, { first_token: { bounds, counts: [100, 100, 100, 100] } })
  const after = (counts: readonly number[]) => reading(10_000, { first_token: { bounds, counts } })
  // Ten more, all of them between 0.1 and 0.2 s.
  assert.deepEqual(pointOf(after([100, 110, 110, 110]), before).first_token_ms, { p50: 150, p95: 195 })
  // Half of them fast, half of them above every bound: of these no more is known.
  assert.deepEqual(pointOf(after([105, 105, 105, 110]), before).first_token_ms, { p50: 100, p95: 400 })
  assert.equal(pointOf(after([100, 100, 100, 100]), before).first_token_ms, null)
  // Before the first stream, there were no buckets at all.
  const first = pointOf(after([10, 10, 10, 10]), reading(0))
  assert.deepEqual(first.first_token_ms, { p50: 50, p95: 95 })
})
