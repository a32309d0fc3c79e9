/**
 * Every fault of the kit on every route, streamed and plain, with one faulty and one healthy worker: what has not begun
 * is saved by the other worker, what has begun ends with an event that says so, and nothing ever looks like success
 * that is none. The official clients' part is in failures/matrix-clients.test.ts.
 */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Api, apiRequest, apis } from '../support/api-bodies.ts'
import { within } from '../support/deadline.ts'
import { assertBooks, postLines, tally } from '../support/failure-books.ts'
import { type FaultFleet, startFaultFleet, tries } from '../support/fault-fleet.ts'
import { allFaults, type Fault } from '../support/faults.ts'
import { type RawBody, type RawHead, rawRequest } from '../support/raw-client.ts'
import { type Verdict, verdictOf } from '../support/verdict.ts'

interface Got {
  readonly head: RawHead
  readonly body: RawBody
}

interface Case {
  readonly fault: Fault
  readonly api: Api
  readonly stream: boolean
  /** Of the model and the request ids. */
  readonly key: string
}

/** What the client must get from a request that reached the faulty worker. */
type Expected =
  | { readonly saw: 'whole'; readonly attempts: number; readonly end: 'completed' }
  /** The client's own mistake: the worker's answer is the answer. */
  | { readonly saw: 'own answer'; readonly attempts: 1; readonly end: 'completed' }
  | { readonly saw: 'error event'; readonly attempts: 1; readonly end: string }
  | { readonly saw: 'cut'; readonly attempts: 1; readonly end: 'worker_lost' }
  /** A plain answer that never comes is ended by the deadline of the whole request alone. */
  | { readonly saw: 'status 504'; readonly attempts: 1; readonly end: 'request_timeout' }

function expectedOf({ fault, stream }: Case): Expected {
  const phase = stream ? fault.stream : fault.plain
  if (phase === 'none') return { saw: 'whole', attempts: 1, end: 'completed' }
  if (fault.answers === 400 || fault.answers === 422)
    return { saw: 'own answer', attempts: 1, end: 'completed' }
  if (phase === 'after-commit' && fault.cuts) return { saw: 'cut', attempts: 1, end: 'worker_lost' }
  if (phase === 'after-commit') return { saw: 'error event', attempts: 1, end: endOfStream(fault) }
  if (stream || !fault.hangs) return { saw: 'whole', attempts: 2, end: 'completed' }
  return { saw: 'status 504', attempts: 1, end: 'request_timeout' }
}

function endOfStream({ name, hangs }: Fault): string {
  if (hangs) return 'stream_idle_timeout'
  return name === 'errorEventMidStream' ? 'worker_error' : 'worker_lost'
}

/** Milliseconds that the client gives a plain request to a worker that never answers. */
const patienceMs = 1000

const kinds = apis.flatMap((api) =>
  (api.streams ? [true, false] : [false]).map((stream) => ({ api, stream })),
)
const keyOf = (api: Api, stream: boolean): string => `${api.name}-${stream ? 'stream' : 'plain'}`

describe('every fault on every route', () => {
  const cleanups: (() => unknown)[] = []
  /** Of each request sent, by its id. */
  const expectedEnds = new Map<string, Expected & { readonly stream: boolean }>()
  const complaints = new Map<Fault, Promise<readonly string[]>>()
  let fleet: FaultFleet

  before(async () => {
    const keys = kinds.map(({ api, stream }) => keyOf(api, stream))
    const t = { after: (work: () => unknown) => void cleanups.push(work) }
    fleet = await startFaultFleet({ faults: allFaults, keys, t })
    // Most of the time is spent waiting for time-outs: several faults strike at the same time.
    const turns = allFaults.map(() => Promise.withResolvers<void>())
    for (const [index, fault] of allFaults.entries()) {
      const turn = turns[index - 6]?.promise ?? Promise.resolve()
      const all = turn.then(() => strikeAll(fault))
      complaints.set(fault, all)
      void all.finally(() => turns[index]?.resolve())
    }
  })
  after(() => Promise.all(cleanups.map((work) => work())))

  for (const fault of allFaults) {
    test(`${fault.name}`, async () => {
      assert.deepEqual(await complaints.get(fault), [])
    })
  }

  test('access log, counters and gauges say the same', async () => {
    const all = [...expectedEnds.values()]
    await assertBooks(fleet.router, {
      ends: tally(all.map(({ end }) => end)),
      streams: tally(all.flatMap(({ end, stream, saw }) => (stream && saw !== 'own answer' ? [end] : []))),
      workers: fleet.size,
    })
    for (const { request_id: id, end_reason: end, attempts } of postLines(fleet.router)) {
      const wanted = expectedEnds.get(String(id))
      assert.deepEqual({ end, attempts }, { end: wanted?.end, attempts: wanted?.attempts }, String(id))
    }
  })

  async function strikeAll(fault: Fault): Promise<readonly string[]> {
    const cases = kinds.map(({ api, stream }): Case => ({ fault, api, stream, key: keyOf(api, stream) }))
    const results = await Promise.allSettled(cases.map((one) => strike(one)))
    return results.flatMap((result, index) =>
      result.status === 'rejected' ? [`${cases[index]?.key}: ${result.reason.message}`] : [],
    )
  }

  /** Sends the request until it has met the faulty worker; whoever serves it, the client must be content. */
  async function strike(one: Case): Promise<void> {
    const { fault, key, stream } = one
    const faulty = fleet.faulty(fault, key)
    if (fault.refuses) await faulty.crash()
    for await (const count of tries()) {
      const id = `${fault.name.replaceAll(' ', '-')}-${key}-${count}`
      const { head, body, attempts } = await send(one, id)
      const struck = attempts > 1 || faulty.requests.some((request) => request.header('x-request-id') === id)
      const wanted: Expected = struck ? expectedOf(one) : { saw: 'whole', attempts: 1, end: 'completed' }
      expectedEnds.set(id, { ...wanted, stream })
      assert.equal(attempts, wanted.attempts, 'attempts')
      judge(one, wanted, id, { head, body })
      if (struck) return
    }
    assert.fail('the request never met the faulty worker')
  }

  async function send({ fault, api, stream, key }: Case, id: string) {
    const headers = { 'x-request-timeout-ms': String(patienceMs) }
    const exchange = rawRequest({
      port: fleet.router.apiPort,
      ...apiRequest({
        api,
        model: fleet.modelOf(fault, key),
        stream,
        id,
        ...(fault.hangs && !stream && { headers }),
      }),
    })
    exchange.firstEvents(1).then(
      () => fleet.contentSeen(id),
      () => {},
    )
    const head = await within(5000, exchange.head, 'a head')
    const body = await within(5000, exchange.body, 'an end')
    return { head, body, attempts: Number(head.header('x-router-attempts') ?? 1) }
  }

  function judge({ fault, api, stream, key }: Case, { saw, end }: Expected, id: string, got: Got): void {
    const verdict = verdictOf({ api, stream, id, model: fleet.modelOf(fault, key), ...got })
    const wanted: Verdict = {
      whole: { kind: 'whole' } as const,
      'own answer': { kind: 'error status', status: fault.answers ?? 0, code: fault.answers ?? 0 } as const,
      'status 504': { kind: 'error status', status: 504, code: 'request_timeout' } as const,
      cut: { kind: 'cut' } as const,
      'error event': { kind: 'error event', code: end === 'worker_error' ? undefined : end } as const,
    }[saw]
    assert.deepEqual(verdict, wanted)
  }
})
