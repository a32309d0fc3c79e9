/** Each fault of the scripted worker does on the wire what its name says: seen by a bare socket. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { eventually, pause, within } from './deadline.ts'
import {
  allFaults,
  closeAfterDone,
  closeWhenReused,
  endlessEvent,
  type Fault,
  resetWhenReused,
} from './faults.ts'
import { openConnection, type RawExchange, rawRequest } from './raw-client.ts'
import { startScriptedWorker } from './scripted-worker.ts'

const chat = '/v1/chat/completions'
const bodyOf = (stream: boolean) => ({ model: 'm', messages: [{ role: 'user', content: 'hi' }], stream })

/**
 * What the socket has seen: the status, the number of events (`Nev`), then how the response ended, `open` if it has not.
 */
async function seen(exchange: RawExchange): Promise<string> {
  // Settled promises win over the pause, others do not.
  const body = await Promise.race([exchange.body, pause(1)])
  const head = exchange.head.then(({ status }) => status)
  const status = await Promise.race([head, pause(1)]).catch(() => undefined)
  const events = exchange.events.length > 0 ? ` ${exchange.events.length}ev` : ''
  return `${status ?? '-'}${events} ${body === undefined ? 'open' : body.complete ? 'whole' : body.fault}`
}

/** The same when it is over; of an answer that never ends, once it is as wanted, and a while later when it hangs. */
async function seenAtLast(exchange: RawExchange, wanted: string, fault: Fault): Promise<string> {
  if (!fault.hangs) {
    await within(5000, exchange.body, 'the end of the response')
    return await seen(exchange)
  }
  const look = async () => {
    const saw = await seen(exchange)
    return saw.startsWith(wanted) ? saw : undefined
  }
  await eventually(look, { what: wanted })
  await pause(40)
  return await seen(exchange)
}

/** Healthy: role delta, 5 tokens, finish, [DONE]. */
const wholeStream = '200 8ev whole'

/** By fault: what a client of a streamed answer sees, and of a plain one. */
const expected: Readonly<Record<string, readonly [stream: string, plain: string]>> = {
  refuse: ['- reset in head', '- reset in head'],
  acceptAndHang: ['- open', '- open'],
  closeBeforeHead: ['- fin in head', '- fin in head'],
  resetBeforeHead: ['- reset in head', '- reset in head'],
  halfHead: ['- fin in head', '- fin in head'],
  closeAfterHead: ['200 fin in chunk-size', '200 fin in length'],
  resetAfterHead: ['200 reset in chunk-size', '200 reset in length'],
  hangAfterHead: ['200 open', '200 open'],
  garbageHead: ['- bad status line', '- bad status line'],
  hugeHeader: [wholeStream, '200 whole'],
  slowHead: [wholeStream, '200 whole'],
  flood1xx: [wholeStream, '200 whole'],
  contentLengthAndTransferEncoding: ['200 both Content-Length and', '200 both Content-Length and'],
  wrongContentLength: ['200 6ev fin in length', '200 fin in length'],
  badChunk: ['200 3ev bad chunk size "zz"', '200 bad chunk size "zz"'],
  truncatedChunked: ['200 3ev fin in chunk', '200 fin in chunk'],
  closeAfterRoleDelta: ['200 1ev fin in chunk-size', '200 whole'],
  resetAfterRoleDelta: ['200 1ev reset in chunk-size', '200 whole'],
  closeMidEvent: ['200 3ev fin in chunk-size', '200 fin in length'],
  resetMidEvent: ['200 3ev reset in chunk-size', '200 reset in length'],
  closeMidStream: ['200 4ev fin in chunk-size', '200 fin in length'],
  resetMidStream: ['200 4ev reset in chunk-size', '200 reset in length'],
  stallMidStream: ['200 4ev open', '200 open'],
  cleanEndWithoutDone: ['200 4ev whole', '200 whole'],
  cleanEndEmptyStream: ['200 whole', '200 whole'],
  errorEventFirst: ['200 2ev whole', '200 whole'],
  errorEventMidStream: ['200 5ev whole', '200 whole'],
  endlessEvent: ['200 1ev reset', '200 whole'],
  endlessEventMidStream: ['200 3ev reset', '200 whole'],
  slowBody: [wholeStream, '200 whole'],
  slicedStream: [wholeStream, '200 whole'],
  'status 500': ['500 whole', '500 whole'],
  'status 503': ['503 whole', '503 whole'],
  'status 429': ['429 whole', '429 whole'],
  'status 400': ['400 whole', '400 whole'],
  'status 422': ['422 whole', '422 whole'],
  'redirect 307': ['307 whole', '307 whole'],
}

async function strike(t: TestContext, fault: Fault, stream: boolean): Promise<void> {
  const worker = await startScriptedWorker(fault, { t })
  const exchange = rawRequest({ port: worker.port, path: chat, json: bodyOf(stream) })
  const wanted = expected[fault.name]?.[stream ? 0 : 1] ?? 'a row in the table'
  const saw = await seenAtLast(exchange, wanted, fault)
  assert.ok(saw.startsWith(wanted), `saw "${saw}", expected "${wanted}"`)
  phaseFits(fault, stream, exchange, saw)
  exchange.abort()
  if (fault.hangs) {
    const closed = await within(
      1000,
      worker.connections[0]?.peerClosed ?? Promise.reject(),
      'the client leaves',
    )
    assert.equal(closed.how, 'fin')
  }
  const health = await rawRequest({ port: worker.port, path: '/health' }).head.catch(() => undefined)
  assert.equal(health?.status, fault.refuses ? undefined : 200)
}

/** A phase is a promise about content: none of it before, some of it after, a whole answer when nothing strikes. */
function phaseFits(fault: Fault, stream: boolean, exchange: RawExchange, saw: string): void {
  const content = exchange.events.filter(({ data }) => /"content":"[^"]/.test(data)).length
  const phase = stream ? fault.stream : fault.plain
  if (phase === 'none') assert.ok(saw === (stream ? wholeStream : '200 whole'))
  // An event that never ends is content before it is counted.
  if (phase === 'after-commit' && !fault.cuts) assert.ok(content > 0)
  // A reader without limits reads on after a huge header.
  if (phase === 'before-commit' && fault.name !== 'hugeHeader') assert.equal(content, 0)
  if (phase === 'before-commit' && fault.answers !== undefined) assert.ok(saw.startsWith(`${fault.answers} `))
}

describe('faults of the scripted worker', { concurrency: 8 }, () => {
  test('each has a name of its own and a row in the table', () => {
    const names = allFaults.map(({ name }) => name)
    assert.deepEqual(names.toSorted(), Object.keys(expected).toSorted())
  })
  for (const fault of allFaults) {
    test(`${fault.name}, streamed`, (t) => strike(t, fault, true))
    test(`${fault.name}, plain`, (t) => strike(t, fault, false))
  }
})

describe('faults of kept-alive connections', () => {
  for (const [fault, how] of [
    [resetWhenReused(), 'reset'],
    [closeWhenReused(), 'fin'],
  ] as const) {
    test(`${fault.name} answers the first request only`, async (t) => {
      const worker = await startScriptedWorker(fault, { t })
      const connection = openConnection(worker)
      const first = await connection.request({ path: chat, json: bodyOf(false) }).text()
      const second = await connection.request({ path: chat, json: bodyOf(false) }).body
      assert.equal(first.status, 200)
      assert.equal(second.fault, `${how} in head`)
      assert.deepEqual(
        worker.requests.map(({ reused }) => reused),
        [false, true],
      )
    })
  }

  test('closeAfterDone sends all events and lacks only the last chunk', async (t) => {
    const worker = await startScriptedWorker(closeAfterDone(), { t })
    const exchange = rawRequest({ port: worker.port, path: chat, json: bodyOf(true) })
    assert.equal((await exchange.body).fault, 'fin in chunk-size')
    assert.equal(exchange.events.at(-1)?.data, '[DONE]')
  })
})

describe('details of some faults', () => {
  const stream = async (t: TestContext, name: string): Promise<{ exchange: RawExchange; text: string }> => {
    const worker = await startScriptedWorker(
      allFaults.find((fault) => fault.name === name),
      { t },
    )
    const exchange = rawRequest({ port: worker.port, path: chat, json: bodyOf(true) })
    return { exchange, text: (await within(2000, exchange.body, name)).bytes.toString() }
  }

  test('an event that is cut has its first half on the wire', async (t) => {
    for (const name of ['closeMidEvent', 'resetMidEvent']) {
      const { text } = await stream(t, name)
      assert.match(text, /\n\ndata: \{[^\n]+$/)
    }
  })

  test('error events have the shape of the worker', async (t) => {
    const { exchange } = await stream(t, 'errorEventFirst')
    assert.equal(JSON.parse(exchange.events[0]?.data ?? '').error.code, 500)
  })

  test('the flood has a thousand interim responses, the huge header its 300 KB', async (t) => {
    const flood = await stream(t, 'flood1xx')
    assert.equal((await flood.exchange.head).interim.length, 1000)
    const huge = await stream(t, 'hugeHeader')
    assert.equal((await huge.exchange.head).header('x-huge')?.length, 300_000)
  })

  test('a sliced stream has the bytes of a whole one, in more and odder pieces', async (t) => {
    const sliced = await stream(t, 'slicedStream')
    const whole = await stream(t, 'slowHead')
    assert.equal(sliced.text, whole.text)
    const chunks = (exchange: RawExchange): number =>
      exchange
        .raw()
        .toString()
        .split(/\r\n[0-9a-f]+\r\n/).length
    assert.ok(chunks(sliced.exchange) > 3 * chunks(whole.exchange))
  })

  test('an endless event goes on for megabytes, and stops when the client leaves', async (t) => {
    const worker = await startScriptedWorker(endlessEvent(64), { t })
    const exchange = rawRequest({ port: worker.port, path: chat, json: bodyOf(true) })
    await eventually(() => exchange.raw().length >= 4_000_000, { what: '4 MB of an event', withinMs: 5000 })
    assert.equal(exchange.events.length, 1)
    exchange.abort()
    await within(1000, worker.connections[0]?.peerClosed ?? Promise.reject(), 'the client leaves')
  })
})
