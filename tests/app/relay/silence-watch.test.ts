/** An idle timeout that counts only while somebody waits. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SilenceWatch } from '../../../app/relay/silence-watch.ts'
import { AppClock } from '../../support/app-clock.ts'

const limitMs = 100

function watching() {
  const clock = new AppClock()
  clock.advance(1000)
  let silences = 0
  const watch = new SilenceWatch(limitMs, clock, { onSilence: () => silences++ })
  watch.begin()
  return { clock, watch, silences: () => silences }
}

describe('the silence of a worker', () => {
  test('goes on counting after a pause, and begins anew with what is heard', () => {
    const { clock, watch, silences } = watching()
    clock.advance(60)
    watch.pause()
    clock.advance(500)
    assert.equal(watch.silentMs, 60)
    watch.begin()
    clock.advance(10)
    assert.equal(watch.silentMs, 70)
    watch.heard(clock.now())
    assert.equal(watch.silentMs, 0)
    clock.advance(limitMs - 1)
    assert.equal(silences(), 0)
    clock.advance(1)
    assert.equal(silences(), 1)
  })
})
