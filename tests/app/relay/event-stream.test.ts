/** A committed stream by itself: what passes, what ends it, what its client reads last, and what the books say. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { StreamFacts } from '../../../app/relay/call.ts'
import { EventScanner } from '../../../app/relay/event-scanner.ts'
import { EventStream } from '../../../app/relay/event-stream.ts'
import { RequestRecord } from '../../../app/request/request-record.ts'
import { TransportError } from '../../../app/upstream/http-client.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { within } from '../../support/deadline.ts'
import { HandMadeBody } from '../../support/hand-made-body.ts'
import { requestFor, testPool } from '../../support/pool.ts'
import { PullingClient } from '../../support/pulling-client.ts'

const token = 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
const finished = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
const done = 'data: [DONE]\n\n'
const fault = 'data: {"error":{"message":"the engine died","code":500}}\n\n'
const idleMs = 10_000
const maxEventBytes = 200

function streaming(facts: Partial<StreamFacts> = {}) {
  const clock = new AppClock()
  const { pool, reports, addHealthy } = testPool({ clock })
  const worker = addHealthy('http://a:1')
  const lease = pool.acquire(requestFor(undefined, { stream: true }))!
  const record = new RequestRecord('POST', '/v1/chat/completions', clock.now())
  const source = new HandMadeBody()
  const scanner = new EventScanner()
  const bytes = scanner.push(Buffer.from(token))!
  const stream = new EventStream({
    stream: { dialect: 'openai', endMarker: true, choices: 1, record, ...facts },
    held: { bytes, scanner, end: 'open', error: undefined },
    ...{ lease, source, idleMs, maxEventBytes, clock, pulse: async () => undefined },
  })
  const client = new PullingClient(stream)
  const next = async (): Promise<string | undefined> => {
    const chunk = await within(2000, client.read(), 'a piece')
    return chunk === undefined ? undefined : Buffer.from(chunk).toString()
  }
  /** All that the client reads after what was held. */
  const rest = async (): Promise<string> => {
    let text = ''
    for (let chunk = await next(); chunk !== undefined; chunk = await next()) text += chunk
    return text
  }
  const books = () => [record.endReason, ...(reports.outcomes.get(worker) ?? []), worker.inFlight]
  return { clock, worker, record, source, stream, next, rest, books }
}

/** The same after the held events. */
async function begun(facts: Partial<StreamFacts> = {}) {
  const all = streaming(facts)
  assert.equal(await all.next(), token)
  return all
}

const saying = (code: string) => new RegExp(`^data: \\{"error":.*"code":"${code}".*\\}\\n\\n$`)

describe('a stream that ends well', () => {
  test('has passed byte for byte, whatever pieces it came in', async () => {
    const { source, rest, books } = await begun()
    const text = token + finished + done
    for (let at = 0; at < text.length; at += 7) source.put(text.slice(at, at + 7))
    source.put(undefined)
    assert.equal(await rest(), text)
    assert.deepEqual(books(), ['completed', 'success', 0])
  })

  test('may lack the empty line behind its marker', async () => {
    const { source, rest, books } = await begun()
    source.put('data: [DONE]', undefined)
    assert.equal(await rest(), 'data: [DONE]')
    assert.deepEqual(books(), ['completed', 'success', 0])
  })

  test('may break after its marker, be left, or be ended: the client has everything', async () => {
    for (const end of ['break', 'leave', 'drain'] as const) {
      const { source, stream, record, next, rest, books } = await begun()
      source.put(done)
      assert.equal(await next(), done)
      if (end === 'break') source.put(new TransportError('reset', 'ECONNRESET'))
      else if (end === 'leave') stream.cancel()
      else record.stop.because('draining')
      // Who has left hears nothing more.
      if (end !== 'leave') assert.equal(await rest(), '')
      assert.deepEqual(books(), ['completed', 'success', 0], end)
      assert.ok(source.cancelled)
    }
  })

  test('is over a second after its marker, although its worker leaves it open', async () => {
    const { clock, source, next, books } = await begun()
    source.put(done)
    assert.equal(await next(), done)
    const last = next()
    await clock.pass(900, 100)
    assert.equal(books()[0], undefined)
    await clock.pass(100)
    assert.equal(await last, undefined)
    assert.deepEqual(books(), ['completed', 'success', 0])
  })

  test('may lack its marker where the route has none, or where the one answer has said why it stops', async () => {
    for (const [text, endMarker, choices, reason] of [
      [token, false, 2, 'completed'],
      [finished, true, 1, 'completed'],
      [token, true, 1, 'worker_lost'],
      [finished, true, 2, 'worker_lost'],
    ] as const) {
      const { source, rest, books } = await begun({ endMarker, choices })
      source.put(text, undefined)
      const read = await rest()
      assert.equal(read.startsWith(text), true)
      assert.equal(books()[0], reason, `${text} ${choices}`)
    }
  })
})

describe('a stream that breaks', () => {
  for (const [what, pieces] of [
    ['by a reset', [new TransportError('reset', 'ECONNRESET')]],
    ['by a clean end without its marker', [undefined]],
    ['in the middle of an event, which is dropped', ['data: {"cho', undefined]],
  ] as const) {
    test(`${what} ends with an error event, and its worker is to blame`, async () => {
      const { source, rest, books } = await begun()
      source.put(...pieces)
      assert.match(await rest(), saying('worker_lost'))
      assert.deepEqual(books(), ['worker_lost', 'failure', 0])
      assert.ok(source.cancelled)
    })
  }

  test('says so once', async () => {
    const { source, next } = await begun()
    source.put(undefined)
    assert.match((await next()) ?? '', saying('worker_lost'))
    assert.equal(await next(), undefined)
    assert.equal(await next(), undefined)
  })

  test('by its silence is told so', async () => {
    const { clock, next, books } = await begun()
    const read = next()
    await clock.pass(idleMs, 1000)
    assert.match((await read) ?? '', saying('stream_idle_timeout'))
    assert.deepEqual(books(), ['stream_idle_timeout', 'failure', 0])
  })
})

describe('a stream that is ended from outside', () => {
  test('closes its books at once, although its client does not read', async () => {
    const { source, record, next, books } = await begun()
    record.stop.because('draining')
    assert.deepEqual(books(), ['draining', 'neutral', 0])
    assert.ok(source.cancelled)
    assert.match((await next()) ?? '', saying('draining'))
    assert.equal(await next(), undefined)
  })

  test('passes nothing on that its client has not taken yet', async () => {
    const { source, record, next } = await begun()
    source.put(token)
    record.stop.because('request_timeout')
    assert.match((await next()) ?? '', saying('request_timeout'))
    assert.equal(await next(), undefined)
  })

  test('before its first read says only why', async () => {
    const { record, rest } = streaming()
    record.stop.because('draining')
    assert.match(await rest(), saying('draining'))
  })

  test('by its client counts against nobody, and only once', async () => {
    const { source, stream, record, books } = await begun()
    stream.cancel()
    stream.cancel()
    record.stop.because('draining')
    assert.deepEqual(books(), ['client_closed', 'neutral', 0])
    assert.ok(source.cancelled)
  })

  test('leaves nothing that waits', async () => {
    const { clock, stream, record } = await begun()
    stream.cancel()
    assert.equal(clock.pending, 0)
    assert.equal(record.stop.waiting, undefined)
  })
})

describe('a client that is pushed to', () => {
  /** Notes what it is told; takes so many chunks. */
  function client(stream: { cancel(): void }, { takes = 100, leavesAt = 100 } = {}) {
    const told: string[] = []
    const sink = {
      write(bytes: Uint8Array) {
        told.push(Buffer.from(bytes).toString())
        if (told.length === leavesAt) stream.cancel()
        return told.length < takes
      },
      end: () => void told.push('end'),
      fail: () => void told.push('fail'),
    }
    return { told, sink }
  }

  test('has each chunk in the same call in which it comes', () => {
    const { source, stream } = streaming()
    const { told, sink } = client(stream)
    stream.flow(sink)
    source.put(token, finished, done)
    assert.deepEqual(told, [token, token, finished, done])
    source.put(undefined)
    assert.deepEqual(told.slice(4), ['end'])
  })

  test('and does not read is told why its stream was ended when it reads on, not before', () => {
    for (const [end, code] of [
      ['break', 'worker_lost'],
      ['stop', 'draining'],
    ] as const) {
      const { source, stream, record, books } = streaming()
      const { told, sink } = client(stream, { takes: 2 })
      stream.flow(sink)
      source.put(token)
      if (end === 'stop') record.stop.because('draining')
      else source.fail()
      assert.deepEqual(told, [token, token])
      assert.deepEqual([books()[0], books()[2]], [code, 0])
      stream.resume()
      assert.match(told[2] ?? '', saying(code))
      assert.deepEqual(told.slice(3), ['end'])
    }
  })

  test('and leaves while it is written to hears nothing more, and nobody is to blame', () => {
    const { source, stream, books } = streaming()
    const { told, sink } = client(stream, { leavesAt: 2 })
    stream.flow(sink)
    source.put(token, token, undefined)
    assert.deepEqual(told, [token, token])
    assert.deepEqual(books(), ['client_closed', 'neutral', 0])
  })
})

describe('an error that the worker reports within its stream', () => {
  test('passes, and its end is no surprise, marker or none', async () => {
    for (const pieces of [
      [fault, undefined],
      [fault, done, undefined],
    ]) {
      const { source, rest, books } = await begun({ endMarker: pieces.length > 2 })
      source.put(...pieces)
      assert.equal(await rest(), pieces.join(''))
      const [reason, outcome] = books()
      assert.deepEqual([reason, outcome], ['worker_error', 'failure'])
    }
  })
})

describe('an event too large to be looked at', () => {
  const large = `data: {"choices":[{"index":0,"delta":{"content":"${'x'.repeat(2 * maxEventBytes)}"}}]}\n\n`

  test('passes in pieces, and the stream goes on behind it', async () => {
    const { source, stream, next, rest, books } = await begun()
    source.put(large.slice(0, 300))
    assert.equal(await next(), large.slice(0, 300))
    assert.equal(stream.isWithinEvent, true)
    source.put(large.slice(300) + token.slice(0, 10), token.slice(10), done, undefined)
    assert.equal(await next(), large.slice(300))
    assert.equal(stream.isWithinEvent, false)
    assert.equal(await next(), token, 'which is looked at as a whole again')
    assert.equal(await rest(), done)
    assert.deepEqual(books(), ['completed', 'success', 0])
  })

  test('that is cut off breaks the connection: nothing can be said within it', async () => {
    const { source, next, rest, books } = await begun()
    source.put(large.slice(0, 300))
    await next()
    source.put(undefined)
    await assert.rejects(rest(), TransportError)
    assert.deepEqual(books(), ['worker_lost', 'failure', 0])
  })

  test('that ends the stream has ended it when all of it has passed, not before', async () => {
    const end = `data: {"type":"response.completed","response":{"id":"${'x'.repeat(2 * maxEventBytes)}"}}\n\n`
    for (const isWhole of [true, false]) {
      const { source, next, rest, books } = await begun({ dialect: 'responses' })
      source.put(end.slice(0, 300))
      assert.equal(await next(), end.slice(0, 300))
      if (isWhole) source.put(end.slice(300), undefined)
      else source.put(undefined)
      if (isWhole) assert.equal(await rest(), end.slice(300))
      else await assert.rejects(rest(), TransportError)
      assert.equal(books()[0], isWhole ? 'completed' : 'worker_lost')
    }
  })

  test('is one from the first byte above the bound on', async () => {
    const { source, next } = await begun()
    const begin = 'data: '.padEnd(maxEventBytes, 'x')
    source.put(begin, 'y')
    assert.equal(await next(), `${begin}y`)
  })

  test('is a sign of life with each piece, unless it is a comment', async () => {
    for (const [begin, isOver] of [
      [large.slice(0, 300), false],
      [`: ${'x'.repeat(300)}`, true],
    ] as const) {
      const { clock, source, next, record } = await begun()
      source.put(begin)
      await next()
      for (let piece = 0; piece < 4; piece++) {
        const read = next()
        read.catch(() => {})
        await clock.pass(4000, 1000)
        source.put('xxx')
        await settled()
      }
      assert.equal(record.endReason !== undefined, isOver)
    }
  })
})

test('tokens are counted as they pass, and are a sign of life of the worker; comments are neither', async () => {
  const { clock, source, worker, record, next } = await begun()
  clock.advance(1000)
  source.put(token + token)
  await next()
  assert.equal(worker.silentMs, 0)
  assert.equal(record.tokenEvents, 3)
  clock.advance(1000)
  source.put(': still here\n\n')
  await next()
  assert.equal(worker.silentMs, 1000)
  assert.equal(record.tokenEvents, 3)
  assert.equal(record.endReason, undefined)
})
