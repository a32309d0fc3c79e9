/** One attempt by itself, without network or time: what is held, when it is committed, and what ends it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AttemptFailure } from '../../../app/relay/attempt-failure.ts'
import type { Call } from '../../../app/relay/call.ts'
import { type Answer, type ExchangeOptions, exchange } from '../../../app/relay/exchange.ts'
import { RequestKind } from '../../../app/relay/request-kind.ts'
import { RequestRecord } from '../../../app/request/request-record.ts'
import {
  type HeaderFields,
  type HttpClient,
  type OutgoingRequest,
  type RelayedBody,
  TransportError,
  type WorkerResponse,
} from '../../../app/upstream/http-client.ts'
import { AppClock, settled } from '../../support/app-clock.ts'
import { within } from '../../support/deadline.ts'
import { HandMadeBody } from '../../support/hand-made-body.ts'
import { requestFor, testPool } from '../../support/pool.ts'
import { PullingClient } from '../../support/pulling-client.ts'

const path = '/v1/chat/completions'
const events: HeaderFields = [['content-type', 'text/event-stream']]
const role = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
const token = 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
const usage = 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
const done = 'data: [DONE]\n\n'

interface Sent {
  readonly request: OutgoingRequest
  readonly head: PromiseWithResolvers<WorkerResponse<RelayedBody>>
  readonly body: HandMadeBody
  aborted: boolean
}

class HandMadeClient implements HttpClient {
  readonly connections = 0
  readonly idleConnections = 0
  readonly sent: Sent[] = []

  send(request: OutgoingRequest) {
    const head = Promise.withResolvers<WorkerResponse<RelayedBody>>()
    const body = new HandMadeBody()
    const sent: Sent = { request, head, body, aborted: false }
    this.sent.push(sent)
    const abort = (): void => {
      sent.aborted = true
      head.reject(new TransportError('aborted', 'ABORTED'))
      body.put(new TransportError('aborted', 'ABORTED'))
    }
    return { head: head.promise, abort }
  }

  setTls(): void {}
  async close(): Promise<void> {}
}

interface Options {
  readonly call?: Partial<Call>
  readonly exchange?: Partial<ExchangeOptions>
}

function kit({ call = {}, exchange: more = {} }: Options = {}) {
  const clock = new AppClock()
  const client = new HandMadeClient()
  const { pool, reports, addHealthy } = testPool({ clock })
  const worker = addHealthy('http://w:8000/prefix')
  const lease = pool.acquire(requestFor('m', { stream: true }))!
  const record = new RequestRecord('POST', path, clock.now())
  const facts = { method: 'POST', path, headers: [['x-a', 'b']] as HeaderFields, body: undefined, record }
  const request: Call = {
    ...facts,
    kind: new RequestKind({ ...facts, model: undefined, stream: true, body: undefined }),
    ...{ stream: true, dialect: 'openai', endMarker: true, choices: 1, longHold: undefined },
    ...call,
  }
  const begin = () =>
    exchange(request, lease, {
      ...{ client, clock, firstTokenMs: 1000, idleMs: 1000, maxHoldBytes: 1000, maxEventBytes: 500 },
      pulse: async () => undefined,
      ...more,
    })
  const answer = within(2000, begin(), 'an answer')
  answer.catch(() => {})
  return {
    ...{ clock, client, worker, lease, record, answer, request },
    outcomes: () => reports.outcomes.get(worker) ?? [],
    /** The head of the attempt's answer, and its first pieces. */
    async head(status: number, headers: HeaderFields, ...pieces: (string | undefined | TransportError)[]) {
      const sent = client.sent.at(-1)!
      sent.body.put(...pieces)
      sent.head.resolve({ status, headers, body: sent.body })
      await settled()
    },
    get sent() {
      return client.sent.at(-1)!
    },
  }
}

async function isOpen(answer: Promise<Answer>): Promise<boolean> {
  let open = true
  void answer.then(
    () => (open = false),
    () => (open = false),
  )
  await settled()
  return open
}

async function failure(answer: Promise<unknown>): Promise<AttemptFailure> {
  const error = await answer.then(
    () => assert.fail('it was committed'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof AttemptFailure, String(error))
  return error
}

async function textOf({ body }: Answer): Promise<string> {
  if (body instanceof Uint8Array) return Buffer.from(body).toString()
  const pieces: Uint8Array[] = []
  const client = new PullingClient(body)
  const next = () => within(2000, client.read(), 'a piece')
  for (let piece = await next(); piece !== undefined; piece = await next()) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

describe('a stream is held', () => {
  test('until its first content, and then goes out from its first byte', async () => {
    const one = kit()
    await one.head(200, events, role)
    assert.ok(await isOpen(one.answer))
    assert.equal(one.worker.silentMs, Number.POSITIVE_INFINITY, 'an announcement is no sign of life')
    one.sent.body.put(token, usage, done, undefined)
    const answer = await one.answer
    assert.equal(answer.isEventStream, true)
    assert.equal(one.worker.silentMs, 0)
    assert.equal(await textOf(answer), role + token + usage + done)
    assert.deepEqual(one.outcomes(), ['success'])
    assert.equal(one.worker.inFlight, 0)
  })

  test('no longer than so many bytes: more announcements are no normal prefill', async () => {
    const one = kit()
    const held = Math.floor(1000 / role.length)
    await one.head(200, events, role.repeat(held))
    assert.ok(await isOpen(one.answer), 'as many as may be held')
    one.sent.body.put(role)
    await settled()
    assert.equal(await isOpen(one.answer), false)
    one.sent.body.put(token, done, undefined)
    assert.equal(await textOf(await one.answer), role.repeat(held + 1) + token + done)
  })

  test('no longer than until an event that is too large to be looked at', async () => {
    const one = kit()
    const large = `data: ${'x'.repeat(600)}`
    await one.head(200, events, large)
    assert.equal(await isOpen(one.answer), false)
    one.sent.body.put('\n\n', done, undefined)
    assert.equal(await textOf(await one.answer), `${large}\n\n${done}`)
  })

  test('for the time of the first token and not longer: then the worker is left, and the client has lost nothing', async () => {
    const one = kit()
    await one.head(200, events, role)
    one.clock.advance(999)
    assert.ok(await isOpen(one.answer))
    one.clock.advance(1)
    assert.equal((await failure(one.answer)).details.fault, 'first_token_timeout')
    assert.ok(one.sent.aborted)
  })

  test('without that limit where the client asked for no stream', async () => {
    const one = kit({ call: { stream: false } })
    await one.head(200, events, role)
    one.clock.advance(100_000)
    assert.ok(await isOpen(one.answer))
  })

  test('and one that ends without any content, or reports an error first, is a failed attempt', async () => {
    const early = kit()
    await early.head(200, events, role, undefined)
    assert.equal((await failure(early.answer)).details.fault, 'no_content')
    const error = 'data: {"error":{"message":"boom","code":500}}\n\n'
    const reported = kit()
    await reported.head(200, events, role, error)
    const { details } = await failure(reported.answer)
    assert.equal(details.answer?.status, 200)
    assert.equal(Buffer.from(details.answer?.body ?? []).toString(), role + error)
    assert.equal(details.answer?.reportsError, true)
    assert.ok(reported.sent.aborted)
  })

  test('as bytes that cannot be looked at, when they are compressed', async () => {
    const one = kit()
    await one.head(200, [...events, ['content-encoding', 'gzip']], role)
    assert.equal((await one.answer).isEventStream, undefined)
  })
})

describe('the usage of a stream', () => {
  test('is found wherever the last events end, in one piece or in several', async () => {
    const whole = token + usage + done
    for (const pieces of [
      [whole],
      [token, usage, done],
      [token + usage.slice(0, 50), usage.slice(50) + done],
      [token, usage.slice(0, 50), usage.slice(50), done.slice(0, 6), done.slice(6)],
    ]) {
      const one = kit()
      await one.head(200, events, ...pieces, undefined)
      assert.equal(await textOf(await one.answer), whole)
      assert.deepEqual(one.record.usage, { prompt: 3, completion: 1, cached: undefined }, pieces.join('|'))
    }
  })
})

describe('an attempt that is stopped', () => {
  test('while the head is waited for, or during the hold, ends there and says why', async () => {
    for (const begun of [false, true]) {
      const one = kit()
      if (begun) await one.head(200, events, role)
      one.record.stop.because('client_closed')
      await assert.rejects(one.answer, { code: 'client_closed' })
      assert.ok(one.sent.aborted)
      assert.equal(one.record.stop.waiting, undefined)
    }
  })

  test('just as its first content comes is not committed: nobody would read it, and the worker would be blamed', async () => {
    const one = kit()
    await one.head(200, events, role)
    // Both before any promise has a turn.
    one.sent.body.put(token)
    one.record.stop.because('client_closed')
    await assert.rejects(one.answer, { code: 'client_closed' })
    assert.equal(one.worker.silentMs, Number.POSITIVE_INFINITY)
    assert.deepEqual(one.outcomes(), [])
  })

  test('just as a plain answer begins, likewise', async () => {
    const one = kit({ call: { stream: true } })
    await one.head(200, [['content-type', 'audio/mpeg']])
    one.sent.body.put('sound')
    one.record.stop.because('draining')
    await assert.rejects(one.answer, { code: 'draining' })
    assert.equal(one.worker.silentMs, Number.POSITIVE_INFINITY)
  })

  test('by the death of its worker may be tried elsewhere', async () => {
    const one = kit()
    one.lease.onLetGo?.()
    assert.equal((await failure(one.answer)).details.fault, 'let_go')
    assert.ok(one.sent.aborted)
  })

  test('after the commit ends its stream, not the attempt', async () => {
    const one = kit()
    await one.head(200, events, token)
    const answer = await one.answer
    one.clock.advance(5000)
    one.record.stop.because('draining')
    assert.match(await textOf(answer), /draining/)
    assert.deepEqual(one.outcomes(), ['neutral'])
  })
})

describe('a plain answer', () => {
  const json: HeaderFields = [['content-type', 'application/json']]
  const call = { stream: false }

  test('of known, short length is read whole; a break within it costs the client nothing', async () => {
    const one = kit({ call })
    await one.head(200, [...json, ['content-length', '4']], '{}')
    one.clock.advance(5000)
    assert.ok(await isOpen(one.answer), 'however long it takes')
    one.sent.body.put('{}', undefined)
    assert.equal(await textOf(await one.answer), '{}{}')
    const broken = kit({ call })
    await broken.head(
      200,
      [...json, ['content-length', '4']],
      '{}',
      new TransportError('reset', 'ECONNRESET'),
    )
    assert.equal((await failure(broken.answer)).details.fault, 'connection_lost')
    assert.ok(broken.sent.aborted)
  })

  test('of unknown length is held for a second, or for so many bytes', async () => {
    const quick = kit({ call })
    await quick.head(200, json, '{}', undefined)
    assert.ok((await quick.answer).body instanceof Uint8Array)
    const slow = kit({ call })
    await slow.head(200, json, '{')
    slow.clock.advance(999)
    assert.ok(await isOpen(slow.answer))
    slow.clock.advance(1)
    const answer = await slow.answer
    assert.ok(!(answer.body instanceof Uint8Array))
    slow.sent.body.put('}', undefined)
    assert.equal(await textOf(answer), '{}')
    const long = kit({ call })
    await long.head(200, json, 'x'.repeat(1000))
    assert.ok(await isOpen(long.answer))
    long.sent.body.put('y')
    assert.equal(await isOpen(long.answer), false)
    long.sent.body.put(undefined)
    assert.equal(await textOf(await long.answer), `${'x'.repeat(1000)}y`)
  })

  test('whose length is above the bound is not read whole', async () => {
    const one = kit({ call })
    await one.head(200, [...json, ['content-length', '1001']], 'x'.repeat(1001))
    assert.ok(!((await one.answer).body instanceof Uint8Array))
  })

  test('of sound goes out with its first byte, an error in its place does not', async () => {
    const sound = kit({ call })
    await sound.head(200, [['content-type', 'audio/mpeg']], 'a')
    assert.equal(await isOpen(sound.answer), false)
    const error = kit({ call })
    await error.head(500, [['content-type', 'audio/mpeg']], 'a')
    assert.ok(await isOpen(error.answer))
  })

  test('without a body is over with its head', async () => {
    for (const status of [204, 205, 304]) {
      const one = kit({ call })
      await one.head(status, json)
      assert.deepEqual((await one.answer).body, new Uint8Array())
      assert.deepEqual([one.outcomes(), one.worker.silentMs], [['success'], 0])
    }
  })

  test('whose status is none is no HTTP', async () => {
    for (const status of [199, 600]) {
      const one = kit({ call })
      await one.head(status, json)
      assert.equal((await failure(one.answer)).details.code, 'bad_worker_response')
    }
    for (const status of [200, 599]) {
      const one = kit({ call })
      await one.head(status, [...json, ['content-length', '2']], '{}', undefined)
      await one.answer.catch((error: AttemptFailure) => assert.ok(error.details.answer, String(status)))
    }
  })

  test('of the client’s mistake is a success of the worker, and no sign of life', async () => {
    const one = kit({ call })
    await one.head(404, [...json, ['content-length', '2']], '{}', undefined)
    assert.equal((await one.answer).status, 404)
    assert.deepEqual([one.outcomes(), one.worker.silentMs], [['success'], Number.POSITIVE_INFINITY])
  })
})

describe('a connection that the worker closed while it was idle', () => {
  const stale = () => new TransportError('reset', 'ECONNRESET', { reused: true })

  test('is tried once more, on a new one', async () => {
    const one = kit()
    one.sent.head.reject(stale())
    await settled()
    assert.deepEqual(
      one.client.sent.map(({ request }) => request.fresh),
      [false, true],
    )
    await one.head(200, events, token, done, undefined)
    assert.equal(await textOf(await one.answer), token + done)
  })

  test('and then fails again counts as it failed then; where nobody listens any more, as a death', async () => {
    const again = kit()
    again.sent.head.reject(stale())
    await settled()
    again.sent.head.reject(new TransportError('protocol', 'BAD_STATUS_LINE'))
    assert.equal((await failure(again.answer)).details.code, 'bad_worker_response')
    const gone = kit()
    gone.sent.head.reject(stale())
    await settled()
    gone.sent.head.reject(new TransportError('unreachable', 'ECONNREFUSED'))
    assert.equal((await failure(gone.answer)).details.fault, 'connection_lost')
    assert.equal(gone.client.sent.length, 2)
  })

  test('is no excuse later, on a new connection, for another fault, or when nobody waits any more', async () => {
    const late = kit()
    late.clock.advance(100)
    late.sent.head.reject(stale())
    const fresh = kit()
    fresh.sent.head.reject(new TransportError('reset', 'ECONNRESET'))
    const other = kit()
    other.sent.head.reject(new TransportError('protocol', 'BAD_STATUS_LINE', { reused: true }))
    for (const one of [late, fresh, other]) {
      await failure(one.answer)
      assert.equal(one.client.sent.length, 1)
    }
    const left = kit()
    left.sent.head.reject(stale())
    left.record.stop.because('client_closed')
    await assert.rejects(left.answer, { code: 'client_closed' })
    assert.equal(left.client.sent.length, 1)
  })
})

test('what is sent: path behind the prefix, the fields of the call, and what is left of the time', async () => {
  const plain = kit()
  const { method, origin, path: sentPath, headers } = plain.sent.request
  assert.deepEqual(
    [method, origin, sentPath, headers],
    ['POST', 'http://w:8000', `/prefix${path}`, [['x-a', 'b']]],
  )
  const record = new RequestRecord('POST', path, 0)
  record.deadline = 5000
  const limited = kit({ call: { record } })
  const left = limited.sent.request.headers.find(([name]) => name === 'x-request-timeout-ms')?.[1]
  assert.equal(Number(left), 5000 - limited.clock.now())
})
