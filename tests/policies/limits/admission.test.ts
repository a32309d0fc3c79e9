import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RouterError } from '../../../http/errors.ts'
import { RequestBody } from '../../../http/request-body.ts'
import { admission } from '../../../middleware/admission.ts'
import { AdmissionQueue, type AdmissionQueueOptions } from '../../../policies/limits/admission-queue.ts'
import type { Slot } from '../../../policies/limits/slots.ts'
import { within } from '../../support/deadline.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { errorOf, middlewareApp } from '../../support/middleware-app.ts'

const never = new AbortController().signal

function setUp(options: AdmissionQueueOptions = {}) {
  const clock = new ManualClock()
  const seen: string[] = []
  const queue = new AdmissionQueue({
    clock,
    observe: {
      depthChanged: (depth) => seen.push(`depth ${depth}`),
      admitted: (waited) => seen.push(`admitted after ${waited}`),
      rejected: (reason, waited) => seen.push(`${reason} after ${waited}`),
    },
    ...options,
  })
  return { clock, seen, queue }
}

/** Takes a slot that must be free. */
function taken(queue: AdmissionQueue): Slot {
  const slot = queue.enter(never)
  assert.ok(!(slot instanceof Promise), 'a free slot is handed out without a promise')
  return slot
}

async function rejection(promise: Slot | Promise<Slot>, code: string): Promise<RouterError> {
  const error = await Promise.resolve(promise).then(
    () => assert.fail('got a slot'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof RouterError)
  assert.equal(error.code, code)
  return error
}

describe('admission queue', () => {
  test('without a cap everyone gets in at once', () => {
    const { queue, seen } = setUp()
    const slots = Array.from({ length: 1000 }, () => taken(queue))
    assert.equal(queue.inFlight, 1000)
    assert.equal(queue.maxConcurrent, undefined)
    for (const slot of slots) slot.release()
    assert.equal(queue.inFlight, 0)
    assert.deepEqual(seen, [])
  })

  test('beyond the cap requests wait, and are admitted first come, first served', async () => {
    const { queue, clock, seen } = setUp({ maxConcurrent: 1 })
    const first = taken(queue)
    const second = queue.enter(never)
    clock.advance(10)
    const third = queue.enter(never)
    clock.advance(10)
    first.release()
    assert.equal(queue.inFlight, 1, 'the slot went straight to the next')
    const slot = await second
    slot.release()
    const last = await third
    last.release()
    assert.equal(queue.inFlight, 0)
    assert.deepEqual(seen, [
      'depth 1',
      'depth 2',
      'depth 1',
      'admitted after 20',
      'depth 0',
      'admitted after 10',
    ])
    assert.equal(clock.pending, 0)
  })

  test('releasing a slot twice frees one place', async () => {
    const { queue } = setUp({ maxConcurrent: 1 })
    const first = taken(queue)
    const second = queue.enter(never)
    const third = queue.enter(never)
    first.release()
    first.release()
    await second
    assert.equal(queue.queueDepth, 1)
    assert.equal(queue.inFlight, 1)
    ;(await second).release()
    ;(await third).release()
    assert.equal(queue.inFlight, 0)
  })

  test('a full queue turns away at once, with a Retry-After of the wait of the first in line', async () => {
    const { queue, clock, seen } = setUp({ maxConcurrent: 1, queueSize: 1 })
    taken(queue)
    const waiting = queue.enter(never)
    clock.advance(7_500)
    const error = await rejection(queue.enter(never), 'queue_full')
    assert.equal(error.status, 429)
    assert.equal(error.retryAfter, 8)
    assert.deepEqual(seen, ['depth 1', 'queue_full after 0'])
    clock.advance(60_000)
    await rejection(waiting, 'queue_timeout')
  })

  test('a queue of size 0 lets nobody wait', async () => {
    const { queue } = setUp({ maxConcurrent: 1, queueSize: 0 })
    taken(queue)
    assert.equal((await rejection(queue.enter(never), 'queue_full')).retryAfter, 1)
  })

  test('who waited too long gets 408 with Retry-After, and its place in the queue is free', async () => {
    const { queue, clock, seen } = setUp({ maxConcurrent: 1, queueTimeoutMs: 2000 })
    const first = taken(queue)
    const waiting = queue.enter(never)
    clock.advance(1999)
    assert.equal(queue.queueDepth, 1)
    clock.advance(1)
    const error = await rejection(waiting, 'queue_timeout')
    assert.equal(error.status, 408)
    assert.equal(error.retryAfter, 2)
    assert.equal(queue.queueDepth, 0)
    first.release()
    assert.equal(queue.inFlight, 0)
    assert.deepEqual(seen, ['depth 1', 'depth 0', 'queue_timeout after 2000'])
  })

  test('what would become of a request is told without counting it', async () => {
    const { queue, seen } = setUp({ maxConcurrent: 1, queueSize: 1 })
    assert.equal(queue.outlook(), 'admitted')
    taken(queue)
    assert.equal(queue.outlook(), 'waits')
    const waiting = queue.enter(never)
    const refused = queue.outlook()
    assert.ok(refused instanceof RouterError && refused.code === 'queue_full')
    assert.deepEqual([queue.inFlight, queue.queueDepth, seen], [1, 1, ['depth 1']])
    void waiting
  })

  test('the wait has its end by the clock of the system, too', async () => {
    const queue = new AdmissionQueue({ maxConcurrent: 1, queueTimeoutMs: 20 })
    taken(queue)
    const refused = within(5000, rejection(queue.enter(never), 'queue_timeout'), 'the end of the wait')
    assert.match((await refused).message, /waited 0(\.\d)? s/)
  })

  test('a wait beyond what the runtimes take for a delay is a long one', async () => {
    const [long, short] = [2 ** 40, 20].map(
      (queueTimeoutMs) => new AdmissionQueue({ maxConcurrent: 1, queueTimeoutMs }),
    )
    const client = new AbortController()
    taken(long!)
    taken(short!)
    const waiting = long!.enter(client.signal)
    await rejection(short!.enter(never), 'queue_timeout')
    assert.equal(long!.queueDepth, 1)
    client.abort()
    await rejection(waiting, 'client_closed')
  })

  test('a client that leaves is out of the line at once, from any place', async () => {
    const { queue, clock } = setUp({ maxConcurrent: 1 })
    const first = taken(queue)
    const leaver = new AbortController()
    const before = queue.enter(never)
    const gone = queue.enter(leaver.signal)
    const after = queue.enter(never)
    leaver.abort()
    assert.equal(queue.queueDepth, 2)
    await rejection(gone, 'client_closed')
    leaver.abort()
    first.release()
    ;(await before).release()
    ;(await after).release()
    assert.equal(queue.inFlight, 0)
    assert.equal(clock.pending, 0)
  })

  test('a client that has left already does not queue', async () => {
    const { queue } = setUp({ maxConcurrent: 1 })
    taken(queue)
    const { message, retryAfter } = await rejection(queue.enter(AbortSignal.abort()), 'client_closed')
    assert.match(message, /client went away/)
    assert.equal(retryAfter, undefined, 'nobody is there to come again')
    assert.equal(queue.queueDepth, 0)
  })

  test('an abort after admission takes nothing back', async () => {
    const { queue } = setUp({ maxConcurrent: 1 })
    const client = new AbortController()
    const first = taken(queue)
    const waiting = queue.enter(client.signal)
    first.release()
    client.abort()
    const slot = await waiting
    assert.equal(queue.inFlight, 1)
    slot.release()
    assert.equal(queue.inFlight, 0)
  })

  test('a raised cap admits waiters at once; under a lowered one those in flight finish', async () => {
    const { queue } = setUp({ maxConcurrent: 1 })
    const first = taken(queue)
    const second = queue.enter(never)
    const third = queue.enter(never)
    const fourth = queue.enter(never)
    queue.setCap({ maxConcurrent: 3 })
    const slots = [first, await second, await third]
    assert.equal(queue.inFlight, 3)
    queue.setCap({ maxConcurrent: 1 })
    slots[0]?.release()
    slots[1]?.release()
    assert.equal(queue.queueDepth, 1)
    slots[2]?.release()
    ;(await fourth).release()
    queue.setCap({ maxConcurrent: undefined })
    assert.equal(queue.inFlight, 0)
  })

  test('a cap below 1 is a mistake of the program', () => {
    assert.throws(() => new AdmissionQueue({ maxConcurrent: 0 }), RangeError)
    assert.throws(() => new AdmissionQueue({ maxConcurrent: Number.NaN }), RangeError)
  })
})

describe('admission middleware', () => {
  test('the slot is held after the handler has answered, until the request ends', async () => {
    const { queue } = setUp({ maxConcurrent: 1 })
    const { fetch, ends } = middlewareApp([admission({ queue })])
    assert.equal((await fetch('/')).status, 200)
    assert.equal(queue.inFlight, 1)
    for (const end of ends) end()
    assert.equal(queue.inFlight, 0)
  })

  test('the second waits for the end of the first, not for its headers', async () => {
    const { queue } = setUp({ maxConcurrent: 1 })
    const { fetch, ends } = middlewareApp([admission({ queue })])
    await fetch('/')
    const second = fetch('/')
    assert.equal(queue.queueDepth, 1)
    ends.shift()?.()
    assert.equal((await second).status, 200)
    ends.shift()?.()
    assert.equal(queue.inFlight, 0)
  })

  test('a full queue is a 429 with Retry-After', async () => {
    const { queue } = setUp({ maxConcurrent: 1, queueSize: 0 })
    const { fetch } = middlewareApp([admission({ queue })])
    await fetch('/')
    const response = await fetch('/')
    assert.equal(response.headers.get('retry-after'), '1')
    await errorOf(response, 429, 'queue_full')
    assert.equal(queue.inFlight, 1)
  })

  test('a client that leaves while waiting never reaches the handler', async () => {
    const { queue } = setUp({ maxConcurrent: 1 })
    let handled = 0
    const { fetch, errors, ends } = middlewareApp([admission({ queue })], async (c) => {
      handled++
      return c.text('ok')
    })
    await fetch('/')
    const client = new AbortController()
    const second = fetch('/', {}, { signal: client.signal })
    client.abort()
    await second
    assert.equal(handled, 1)
    assert.deepEqual(
      errors.map((error) => error.code),
      ['client_closed'],
    )
    assert.equal(ends.length, 1)
  })

  test('no abort signal is asked for while there is room', async () => {
    const { queue } = setUp({ maxConcurrent: 1 })
    const { app } = middlewareApp([admission({ queue })])
    const incoming = {
      headers: [],
      header: () => undefined,
      body: async () => new RequestBody([]),
      remoteAddress: undefined,
      get signal(): AbortSignal {
        return assert.fail('making a signal costs more than the queue itself')
      },
    }
    const response = await app.fetch(new Request('http://gateway.test/'), { incoming })
    assert.equal(response.status, 200)
  })
})
