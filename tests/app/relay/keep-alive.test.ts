/** A stream with a comment in each of its silences: never within an event, and nothing of the stream is lost. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { KeepAlive } from '../../../app/relay/keep-alive.ts'
import { TransportError } from '../../../app/upstream/http-client.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { within } from '../../support/deadline.ts'
import { HandMadeBody } from '../../support/hand-made-body.ts'
import { PullingClient } from '../../support/pulling-client.ts'

const everyMs = 1000
const comment = ': keep-alive\n\n'

function keptAlive() {
  const clock = new AppClock()
  const source = new HandMadeBody()
  const stream = Object.assign(source, { isWithinEvent: false })
  const kept = new KeepAlive(stream, { everyMs, clock })
  const client = new PullingClient(kept)
  const read = () =>
    within(2000, client.read(), 'a piece').then((piece) => piece && Buffer.from(piece).toString())
  return { clock, source, stream, kept, read }
}

describe('a stream that is kept alive', () => {
  test('passes as it comes, and nothing is left that waits', async () => {
    const { clock, source, read } = keptAlive()
    source.put('one', 'two', undefined)
    assert.deepEqual([await read(), await read(), await read()], ['one', 'two', undefined])
    assert.equal(clock.pending, 0)
  })

  test('has a comment after each silence, and loses nothing that comes behind it', async () => {
    const { clock, source, read } = keptAlive()
    for (let time = 0; time < 3; time++) {
      const next = read()
      await clock.pass(everyMs - 1)
      assert.equal(clock.pending, 1, 'the silence is not long enough')
      await clock.pass(1)
      assert.equal(await next, comment)
    }
    source.put('one', 'two')
    assert.deepEqual([await read(), await read()], ['one', 'two'])
  })

  test('has none within an event', async () => {
    const { clock, source, stream, read } = keptAlive()
    stream.isWithinEvent = true
    const next = read()
    await clock.pass(10 * everyMs, everyMs)
    source.put('the rest')
    assert.equal(await next, 'the rest')
  })

  test('fails as it fails, also when nobody reads at that moment', async () => {
    const { clock, source, read } = keptAlive()
    const next = read()
    await clock.pass(everyMs)
    assert.equal(await next, comment)
    source.put(new TransportError('reset', 'ECONNRESET'))
    await settled()
    await assert.rejects(read(), TransportError)
    const again = keptAlive()
    again.source.put(new TransportError('reset', 'ECONNRESET'))
    await assert.rejects(again.read(), TransportError)
  })

  test('is left by its client', () => {
    const { source, kept } = keptAlive()
    kept.cancel()
    assert.ok(source.cancelled)
  })
})
